# The two services as images: docker build --target central-api . and --target store-api .
#
# One build stage makes both programs, so the second image costs nothing. The images hold the program, the
# certificates of public authorities (a payment provider is asked over TLS), and a user without rights. They
# write to /data only, and run with everything else read-only. The program is process 1 and takes SIGTERM by
# itself: it stops taking requests, ends what is under way, and writes a snapshot, within 20 seconds.

FROM rust:1.95.0-slim-bookworm AS build
# The image has this compiler; rust-toolchain.toml would fetch its formatter and linter too.
ENV RUSTUP_TOOLCHAIN=1.95.0
WORKDIR /src
COPY . .
# Without line numbers of backtraces the programs are a quarter as large; a panic says its own line all the same.
RUN cargo build --locked --release -p central-api -p store-api --bins \
    && install -D -t /out target/release/central-api target/release/store-api \
    && strip --strip-debug /out/*

FROM debian:bookworm-slim AS runtime
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
RUN groupadd --gid 10001 holdfast \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin holdfast \
    && install -d -o holdfast -g holdfast -m 0750 /data
USER 10001:10001
WORKDIR /data
# Inside a container every address is its own; which of them the world sees is said by who publishes the port.
ENV HOST=0.0.0.0 DATA_DIR=/data
VOLUME /data
STOPSIGNAL SIGTERM
# Asks by the shell alone, so that no program has to be in the image for it.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/$PORT && printf 'GET /health/ready HTTP/1.0\\r\\n\\r\\n' >&3 && read -r _ status _ <&3 && [ \"$status\" = 200 ]"]

FROM runtime AS central-api
COPY --from=build /out/central-api /usr/local/bin/
ENV PORT=8081 METRICS_PORT=9080
EXPOSE 8081 9080
ENTRYPOINT ["central-api"]

FROM runtime AS store-api
COPY --from=build /out/store-api /usr/local/bin/
ENV PORT=8083 METRICS_PORT=9083
EXPOSE 8083 9083
ENTRYPOINT ["store-api"]
