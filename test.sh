#!/usr/bin/env bash
#
# Runs every test of the repository: ./test.sh
#
# One command, on a fresh Debian machine as on a developer's: it looks for what it needs first,
# installs missing Debian packages when it may (as root), and otherwise says in one line what to
# install. Steps run in the order in which they are cheapest to fail; the first failure ends it.
# Everything is built into one target folder, so that no step pays for another's work twice.

set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"

export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
# rustup and `cargo install` put their programs here; a fresh shell does not know it yet.
export PATH="$CARGO_TARGET_DIR/tools/bin:${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"

have() { command -v "$1" >/dev/null 2>&1; }

fail() {
    echo "test.sh: $*" >&2
    exit 1
}

# need <program> <Debian package>: notes the package if the program is missing.
missing=()
need() { have "$1" || missing+=("$2"); }

find_tools() {
    need gcc gcc
    need curl curl
    [ -e /usr/include/stdio.h ] || missing+=(libc6-dev)
    [ -e /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)
    need cargo rustup
    need promtool prometheus
    need python3 python3
    python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
    [ ${#missing[@]} -eq 0 ] && return
    if [ "$(id -u)" -eq 0 ] && have apt-get; then
        echo "test.sh: installing ${missing[*]}"
        apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" \
            || fail "could not install: ${missing[*]}"
        # Debian starts its own Prometheus on port 9090 with the package; the tests start theirs.
        if [[ " ${missing[*]} " == *" prometheus "* && -d /run/systemd/system ]]; then
            systemctl disable --quiet --now prometheus prometheus-node-exporter || true
        fi
    else
        fail "please install: ${missing[*]} (Debian: sudo apt-get install ${missing[*]};" \
            "Rust is also at https://rustup.rs)"
    fi
}

# rust-toolchain.toml names the compiler; rustup fetches it at the first call.
find_compiler() {
    cargo --version && cargo fmt --version && cargo clippy --version \
        || fail "the toolchain of rust-toolchain.toml is not usable: try 'rustup toolchain install'"
}

# step <name> <command...>: runs the command, says how long it took, ends everything if it failed.
step() {
    local name="$1" began=$SECONDS
    shift
    echo
    echo "=== $name: $*"
    if "$@"; then
        report+=("$(printf '%5ds  %s' $((SECONDS - began)) "$name")")
    else
        fail "FAILED after $((SECONDS - began)) s: $name ($*)"
    fi
}

scripts_parse() {
    local script
    for script in ./*.sh system-tests/*.sh system-tests/containers/*.sh .ci/run; do
        bash -n "$script" || return 1
    done
}

# What Prometheus would load is valid, each alert fires when it should and not when it nearly should, and the
# dashboards are those that their source makes. That expressions have values is tested with the rest.
monitoring_rules() {
    promtool check config prometheus/prometheus.yml && promtool test rules prometheus/tests/*.yml \
        && grafana/dashboards.py --check
}

all_tests() {
    if have cargo-nextest; then
        cargo nextest run --locked --workspace --all-features --no-fail-fast
    else
        cargo test --locked --workspace --all-features --lib --bins --tests
    fi
}

# The programs of cargo-fuzz, which the other steps pass over, still fit what they call. They are only
# checked: linking needs the fuzzer's options, and a path stands in for its C++ part. The setting
# makes dependencies the ones of the other steps, as far as it can be. Not --locked: their list follows
# the workspace's, and what it lacks is added here, to be committed.
fuzz_targets() {
    CUSTOM_LIBFUZZER_PATH="$CARGO_TARGET_DIR/libfuzzer.a" CARGO_PROFILE_DEV_DEBUG=0 \
        cargo check --manifest-path system-tests/fuzz/Cargo.toml --bins
}

documentation() {
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --all-features --no-deps
}

# Licences, versions and origins of what we build with. Advisories are left out: their list is not in
# the package registry.
dependencies() {
    if ! have cargo-deny; then
        echo "installing cargo-deny into $CARGO_TARGET_DIR/tools"
        cargo install --quiet --locked cargo-deny@0.20.2 --root "$CARGO_TARGET_DIR/tools" \
            || { echo "skipped: cargo-deny cannot be had here"; return 0; }
    fi
    cargo deny --locked --log-level error check licenses bans sources
}

report=()
find_tools
step "toolchain" find_compiler
step "scripts parse" scripts_parse
step "monitoring rules" monitoring_rules
step "format" cargo fmt --all --check
step "core is pure" cargo check --locked -p shared --no-default-features
step "lints" cargo clippy --locked --workspace --all-targets --all-features -- -D warnings
step "fuzz targets" fuzz_targets
step "documentation" documentation
step "dependencies" dependencies
step "tests" all_tests
step "both services as described" system-tests/schemathesis.sh
step "documented examples" cargo test --locked --workspace --all-features --doc

echo
printf '%s\n' "${report[@]}"
echo "test.sh: all passed in ${SECONDS} s"
