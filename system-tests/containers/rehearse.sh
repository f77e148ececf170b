#!/usr/bin/env bash
#
# Runs docker-compose.yml and its scripts for real on a Debian machine that has neither a Docker engine nor an image
# registry, as root:   system-tests/containers/rehearse.sh <folder with central-api and store-api>
#
# What is real: Dockerfile and compose file as they are, the images' runtime stage, users, read-only files, volumes,
# network, names, health checks, the scripts clean-rebuild.sh and add-store.sh, and Prometheus with our rules. What
# stands in: the base images (debootstrap makes them), the compiler (its `cargo` hands over the programs given), and
# podman for Docker. Grafana and the collector are left out: there is no image of them, and nothing to make it from.
#
# Needs: podman buildah runc netavark aardvark-dns iptables debootstrap podman-compose prometheus (Debian). Everything
# is below one temporary folder, which is removed with its containers in the end. Ports of docker-compose.yml must be
# free. ROOTFS=<folder> saves the debootstrap.

set -euo pipefail

REPOSITORY="$(cd "$(dirname "$0")/../.." && pwd)"
PROGRAMS="$(readlink -f "${1:?usage: rehearse.sh <folder with central-api and store-api>}")"
WORK="$(mktemp -d "${TMPDIR:-/var/tmp}"/holdfast-rehearsal.XXXXXX)"
readonly REPOSITORY PROGRAMS WORK
readonly SITE="$WORK/holdfast"
readonly PROMETHEUS=http://127.0.0.1:9090

# An engine of our own: nothing of the machine's is read or changed.
export CONTAINERS_CONF="$WORK/containers.conf" CONTAINERS_STORAGE_CONF="$WORK/storage.conf"
export BUILDAH_ISOLATION=chroot BUILDAH_FORMAT=docker

say() { printf '\n== %s\n' "$*"; }
fail() {
    echo "FAILED: $*" >&2
    exit 1
}

clean_up() {
    local status=$?
    trap - EXIT
    if [ -d "$SITE" ]; then
        (cd "$SITE" && podman-compose down --volumes) >"$WORK/down.log" 2>&1 || true
    fi
    podman rm --all --force >/dev/null 2>&1 || true
    umount -l "$WORK/storage/overlay" 2>/dev/null || true
    rm -rf "$WORK"
    if [ "$status" -eq 0 ]; then echo "rehearsal passed"; else echo "rehearsal failed" >&2; fi
    exit "$status"
}

configure_engine() {
    cat >"$CONTAINERS_CONF" <<EOF
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=10000:10000"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "$WORK/engine"
[network]
network_backend = "netavark"
network_config_dir = "$WORK/networks"
EOF
    cat >"$CONTAINERS_STORAGE_CONF" <<EOF
[storage]
driver = "overlay"
graphroot = "$WORK/storage"
runroot = "$WORK/run"
EOF
}

# stand_in <image> <folder> [change...]: an image of a root file system.
stand_in() {
    local image="$1" folder="$2" changes=() change
    shift 2
    for change in "$@"; do changes+=(--change "$change"); done
    tar -C "$folder" -c . | podman import "${changes[@]}" - "$image" >/dev/null
}

make_base_images() {
    local root="${ROOTFS:-$WORK/rootfs}"
    [ -d "$root" ] || debootstrap --variant=minbase --include=ca-certificates bookworm "$root" >"$WORK/debootstrap.log"
    stand_in docker.io/library/debian:bookworm-slim "$root" 'CMD ["bash"]'
    # Layers on it: a cargo that hands over what was built outside, no strip, and Debian's Prometheus.
    cp "$PROGRAMS"/{central-api,store-api} "$WORK"
    cat >"$WORK/cargo" <<'EOF'
#!/bin/sh
mkdir -p target/release && cp /programs/* target/release/
EOF
    chmod +x "$WORK/cargo"
    cat >"$WORK/Rust" <<'EOF'
FROM docker.io/library/debian:bookworm-slim
COPY central-api store-api /programs/
COPY cargo /usr/local/bin/
RUN ln -s /bin/true /usr/local/bin/strip
EOF
    cp "$(command -v prometheus)" "$WORK/prometheus"
    cat >"$WORK/Prometheus" <<'EOF'
FROM docker.io/library/debian:bookworm-slim
COPY prometheus /bin/prometheus
ENTRYPOINT ["/bin/prometheus"]
EOF
    local rust prometheus
    rust="$(sed -n 's/^FROM \(rust:[^ ]*\).*/\1/p' "$REPOSITORY/Dockerfile")"
    prometheus="$(sed -n 's/ *image: \(prom[^ ]*\)/\1/p' "$REPOSITORY/docker-compose.yml")"
    podman build -q -f "$WORK/Rust" -t "docker.io/library/$rust" "$WORK" >/dev/null
    podman build -q -f "$WORK/Prometheus" -t "docker.io/$prometheus" "$WORK" >/dev/null
}

# The repository as it is committed, less the two services that have no image here.
make_site() {
    mkdir "$SITE"
    git -C "$REPOSITORY" archive HEAD | tar -x -C "$SITE"
    sed -i '/^  grafana:$/,/^$/d; /^  # Takes what speaks OTLP/,/^$/d' "$SITE/docker-compose.yml"
    cd "$SITE"
    # podman-compose takes names from the folder, and knows no heading for that.
    sed -i '/^name: /d' docker-compose.yml
}

# until <seconds> <command...>: waits until it succeeds.
until_so() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$deadline" ] || fail "not in time: $*"
        sleep 0.3
    done
}

# key <name>: that key of .env.
key() { sed -n "s/^$1=//p" .env | tail -n 1; }

# available <port>: what the shop at that port has of the product.
available() {
    curl -fsS "http://127.0.0.1:$1/v1/store/inventory/GRO-0001" -H "X-API-Key: $(key TILL_KEYS)" \
        | sed 's/.*"available":\([-0-9]*\).*/\1/'
}
has() { [ "$(available "$1" 2>/dev/null)" = "$2" ]; }

# sell <port> <idempotency key>: sells one there; prints the status.
sell() {
    curl -sS -o "$WORK/answer" -w '%{http_code}\n' "http://127.0.0.1:$1/v1/store/inventory/updates" \
        -H "X-API-Key: $(key TILL_KEYS)" -H 'Content-Type: application/json' \
        -d "{\"productId\":\"GRO-0001\",\"delta\":-1,\"idempotencyKey\":\"$2\"}"
}
sells() { [ "$(sell "$1" "$2")" = 200 ]; }

# container <service>: its name.
container() { podman ps -a --format '{{.Names}}' | grep -E "_$1_1\$"; }

# metric <expression> <value>: whether Prometheus says so.
metric() {
    curl -fsS "$PROMETHEUS/api/v1/query" --data-urlencode "query=$1" 2>/dev/null | grep -q "\"$2\"\]"
}

hardened() {
    local name user
    for name in $(podman ps --format '{{.Names}}' | grep -E 'central|store'); do
        user="$(podman exec "$name" id -u)"
        [ "$user" = 10001 ] || fail "$name runs as user $user"
        ! podman exec "$name" touch /usr/local/bin/x 2>/dev/null || fail "$name can write to its own programs"
        podman healthcheck run "$name" >/dev/null || fail "$name is not healthy by its own check"
    done
}

[ "$(id -u)" -eq 0 ] || fail "please run it as root"
for tool in podman buildah runc debootstrap podman-compose prometheus curl git; do
    command -v "$tool" >/dev/null || fail "please install $tool"
done
trap clean_up EXIT
configure_engine
say "base images"
make_base_images
make_site

say "clean-rebuild.sh: makes .env, builds, starts, waits"
! ./clean-rebuild.sh </dev/null >"$WORK/asked" 2>&1 || fail "it deletes without being asked to"
grep -q 'say --yes' "$WORK/asked" || fail "it does not say what to say: $(cat "$WORK/asked")"
./clean-rebuild.sh --yes
hardened

say "a sale in one shop is seen in another one"
before="$(available 8084)"
sells 8083 receipt-1 || fail "no sale: $(cat "$WORK/answer")"
until_so 10 has 8084 $((before - 1))
sells 3010 receipt-1 || fail "the second address of shop 1 does not answer"
has 8083 $((before - 1)) || fail "the repeated sale was sold twice"

say "central is killed: shops read on, do not sell, and do again"
podman kill --signal KILL "$(container central)" >/dev/null
has 8085 $((before - 1)) || fail "a shop does not read while central is away"
status="$(sell 8083 receipt-2)"
[[ "$status" == 50[34] ]] || fail "a sale without central was answered $status"
podman start "$(container central)" >/dev/null
until_so 90 sells 8083 receipt-2
until_so 30 has 8086 $((before - 2))
has 8083 $((before - 2)) || fail "receipt-2 was not sold exactly once"

say "Prometheus asks all five, with our rules"
until_so 60 metric 'sum(up{job=~"central|store"})' 5
until_so 60 metric 'holdfast:stores_offline' 0

say "add-store.sh: a fifth shop"
./add-store.sh store-s5 "Market Place"
./add-store.sh store-s5 | grep -q 'there already' || fail "it adds a shop twice"
# podman-compose does not see that central's settings have changed, which Docker's does.
podman-compose down && podman-compose up -d
until_so 60 has 8087 $((before - 2))
until_so 30 sells 8087 receipt-3
until_so 30 has 8084 $((before - 3))
until_so 90 metric 'sum(up{job=~"central|store"})' 6
hardened

say "asked to stop, central ends by itself"
began=$SECONDS
podman stop --time 30 "$(container central)" >/dev/null
code="$(podman inspect --format '{{.State.ExitCode}}' "$(container central)")"
[ "$code" = 0 ] || fail "central ended with $code"
[ $((SECONDS - began)) -lt 25 ] || fail "central took $((SECONDS - began)) s to end"

say "clean-rebuild.sh again: the keys stay, the data is new"
kept="$(key ADMIN_KEYS)"
./clean-rebuild.sh --yes
[ "$(key ADMIN_KEYS)" = "$kept" ] || fail "the keys were replaced"
has 8087 "$before" || fail "the data outlived the rebuild"
