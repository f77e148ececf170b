#!/usr/bin/env bash
#
# Throws the containers of docker-compose.yml and ALL THEIR DATA away, builds the images anew and starts everything.
#
#   ./clean-rebuild.sh          asks first
#   ./clean-rebuild.sh --yes    does not, for scripts
#
# Makes .env with keys of its own if there is none; keys that are there stay. To run it twice does the same twice.
# Data of ./start.sh (data/) is not touched.

set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"

# The time that all may take to be healthy, in seconds.
readonly PATIENCE=180

fail() {
    echo "clean-rebuild.sh: $*" >&2
    exit 1
}

find_compose() {
    if docker compose version >/dev/null 2>&1; then
        compose=(docker compose)
    elif command -v docker-compose >/dev/null 2>&1; then
        compose=(docker-compose)
    elif command -v podman-compose >/dev/null 2>&1; then
        compose=(podman-compose)
    else
        fail "please install Docker with its compose plugin"
    fi
}

# Every empty setting of .env.example gets a value of its own.
make_env() {
    [ ! -f .env ] || return 0
    (
        umask 077
        while IFS= read -r line; do
            case "$line" in
                '#'* | '') echo "$line" ;;
                *=) echo "$line$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')" ;;
                *) echo "$line" ;;
            esac
        done <.env.example >.env.new
    )
    mv .env.new .env
    echo "clean-rebuild.sh: made .env with new keys; ADMIN_KEYS in it is yours"
}

ask() {
    [ "$1" != --yes ] || return 0
    [ -t 0 ] || fail "this deletes all data; say --yes if you mean it"
    read -r -p "This deletes the stock, orders and history of central and of every store. Type yes: " answer
    [ "$answer" = yes ] || fail "nothing was done"
}

# The ports of central and of every store, as they are published.
ports() {
    cat docker-compose.yml docker-compose.override.yml 2>/dev/null | sed -n 's/.*:\(8[0-9]*\):808[13]".*/\1/p'
}

wait_until_ready() {
    local port
    for port in $(ports); do
        until curl -fsS -o /dev/null "http://127.0.0.1:$port/health/ready" 2>/dev/null; do
            [ "$SECONDS" -lt "$deadline" ] || fail "port $port is not ready after $PATIENCE s: ${compose[*]} logs"
            sleep 1
        done
    done
}

case "${1:-}" in
    '' | --yes) ;;
    -h | --help) sed -n '3,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) fail "unknown argument $1 (there is only --yes)" ;;
esac
command -v curl >/dev/null 2>&1 || fail "please install curl"
find_compose
ask "${1:-}"
make_env
"${compose[@]}" down --volumes
"${compose[@]}" build
"${compose[@]}" up -d
deadline=$((SECONDS + PATIENCE))
wait_until_ready
echo "clean-rebuild.sh: all is well. Central: http://127.0.0.1:8081, shops: http://127.0.0.1:8083 and on,"
echo "Prometheus: http://127.0.0.1:9090, Grafana: http://127.0.0.1:3001 (admin, GRAFANA_ADMIN_PASSWORD of .env)"
