#!/usr/bin/env bash
#
# Starts Holdfast on this machine: central and four shops, with a sample catalogue the first time.
#
#   ./start.sh             build, start, print where everything is; Ctrl-C stops all of it
#   ./start.sh --traffic   the same, and the shops sell, receive and count
#
# Data is kept under data/ and found again by the next start. Nothing is left behind half-started:
# whatever goes wrong, what was started is stopped again, by its process id.

set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"

export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"

readonly CENTRAL_PORT=8081
readonly STORES=(
    "store-s1 8083 Harbour_Street"
    "store-s2 8084 Mill_Lane"
    "store-s3 8085 Station_Square"
    "store-s4 8086 Garden_Row"
)
readonly BIN="$CARGO_TARGET_DIR/release"
readonly LOGS="data/logs"

fail() {
    echo "start.sh: $*" >&2
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

traffic=no
for argument in "$@"; do
    case "$argument" in
        --traffic) traffic=yes ;;
        -h | --help) sed -n '3,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
        *) fail "unknown argument $argument (there is only --traffic)" ;;
    esac
done

find_tools() {
    local missing=()
    have gcc || missing+=(gcc)
    [ -e /usr/include/stdio.h ] || missing+=(libc6-dev)
    have curl || missing+=(curl)
    if [ ${#missing[@]} -gt 0 ]; then
        if [ "$(id -u)" -eq 0 ] && have apt-get; then
            echo "start.sh: installing ${missing[*]}"
            apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" \
                || fail "could not install: ${missing[*]}"
        else
            fail "please install: ${missing[*]} (Debian: sudo apt-get install ${missing[*]})"
        fi
    fi
    have cargo || fail "please install Rust: https://rustup.rs"
}

# Succeeds if somebody listens on the port.
taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

find_ports() {
    local store port
    for port in "$CENTRAL_PORT"; do
        ! taken "$port" || fail "port $port is in use; central needs it"
    done
    for store in "${STORES[@]}"; do
        read -r _ port _ <<<"$store"
        ! taken "$port" || fail "port $port is in use; a shop needs it"
    done
}

pids=()
names=()

# Stops what this script started, newest first, and waits for each to end well.
stop_all() {
    local index pid
    trap - EXIT INT TERM
    for ((index = ${#pids[@]} - 1; index >= 0; index--)); do
        kill -TERM "${pids[index]}" 2>/dev/null || true
    done
    for pid in "${pids[@]}"; do
        wait "$pid" 2>/dev/null || true
    done
}

on_exit() {
    local status=$?
    stop_all
    exit "$status"
}

# launch <name> <log> <setting...> -- <program>: starts a service with just these settings.
launch() {
    local name="$1" log="$LOGS/$2"
    shift 2
    env "$@" >>"$log" 2>&1 &
    pids+=($!)
    names+=("$name")
}

# healthy <name> <pid> <port>: waits for the service, at most a minute.
healthy() {
    local name="$1" pid="$2" port="$3" tries
    for ((tries = 0; tries < 600; tries++)); do
        if curl -fsS -o /dev/null "http://127.0.0.1:$port/health/ready" 2>/dev/null; then
            return
        fi
        if ! kill -0 "$pid" 2>/dev/null; then
            tail -n 3 "$LOGS/$name.log" >&2
            fail "$name did not start; its log is $LOGS/$name.log"
        fi
        sleep 0.1
    done
    fail "$name did not become healthy within a minute; its log is $LOGS/$name.log"
}

find_tools
find_ports
echo "Building (the first time takes some minutes) ..."
cargo build --locked --release --quiet -p central-api -p store-api -p bench --bins \
    || fail "the build failed"

mkdir -p "$LOGS"
trap on_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

launch central central.log \
    PORT="$CENTRAL_PORT" DATA_DIR=data/central \
    API_KEYS="demo,demo-s1@store-s1,demo-s2@store-s2,demo-s3@store-s3,demo-s4@store-s4" \
    ADMIN_API_KEYS=admin-demo SEED_CATALOG=central-api/catalogue/sample.csv \
    "$BIN/central-api"
healthy central "${pids[0]}" "$CENTRAL_PORT"

for store in "${STORES[@]}"; do
    read -r id port title <<<"$store"
    launch "$id" "$id.log" \
        STORE_ID="$id" STORE_NAME="${title//_/ }" PORT="$port" DATA_DIR="data/$id" \
        CENTRAL_API_URL="http://127.0.0.1:$CENTRAL_PORT" CENTRAL_API_KEY="demo-${id#store-}" \
        API_KEYS=demo ADMIN_API_KEYS=admin-demo \
        "$BIN/store-api"
    healthy "$id" "${pids[-1]}" "$port"
done

if [ "$traffic" = yes ]; then
    launch traffic traffic.log "$BIN/traffic" --stores 8083,8084,8085,8086 --central "$CENTRAL_PORT"
fi

cat <<EOF

Holdfast is running.

  central   http://127.0.0.1:8081   API: http://127.0.0.1:8081/docs
  shops     http://127.0.0.1:8083   Harbour Street   (store-s1)
            http://127.0.0.1:8084   Mill Lane        (store-s2)
            http://127.0.0.1:8085   Station Square   (store-s3)
            http://127.0.0.1:8086   Garden Row       (store-s4)
  keys      demo (tills), admin-demo (operators)
            THESE ARE DEMO KEYS, known to everybody: never use them for a real shop.
  data      data/    logs: $LOGS/

Try it:

  curl -s http://127.0.0.1:8084/v1/store/inventory/GRO-0001 -H 'X-API-Key: demo'
  curl -s http://127.0.0.1:8083/v1/store/inventory/updates -H 'X-API-Key: demo' -d '{"productId":"GRO-0001","delta":-1,"idempotencyKey":"receipt-1"}'
  curl -s 'http://127.0.0.1:8081/v1/inventory/events?offset=0&limit=1' -H 'X-API-Key: demo'

EOF
[ "$traffic" = no ] || echo "The shops are trading; see $LOGS/traffic.log."
echo "Ctrl-C stops everything."

# Ends when any of them ends by itself; then the rest is stopped too.
set +e
wait -n -p ended "${pids[@]}"
for index in "${!pids[@]}"; do
    [ "${pids[index]}" != "${ended:-}" ] || fail "${names[index]} has ended; its log is in $LOGS/"
done
