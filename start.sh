#!/usr/bin/env bash
#
# Starts Holdfast on this machine: central and four shops, with a sample catalogue the first time.
#
#   ./start.sh             build, start, print where everything is; Ctrl-C stops all of it
#   ./start.sh --traffic   the same, and the shops sell, receive, count and take orders
#
# Data is kept under data/ and found again by the next start. Nothing is left behind half-started:
# whatever goes wrong, what was started is stopped again, by its process id. What ends by itself once
# everything runs is started again, a few times, while the others go on. Other ports (those of
# the metrics are near them, unless CENTRAL_METRICS_PORT and STORE_METRICS_PORTS name others):
# CENTRAL_PORT=8181 STORE_PORTS="8183 8184 8185 8186" ./start.sh

set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"

export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"

readonly CENTRAL_PORT="${CENTRAL_PORT:-8081}"
read -r -a STORE_PORTS <<<"${STORE_PORTS:-8083 8084 8085 8086}"
readonly CENTRAL_METRICS_PORT="${CENTRAL_METRICS_PORT:-$((CENTRAL_PORT + 999))}"
read -r -a STORE_METRICS_PORTS <<<"${STORE_METRICS_PORTS:-}"
if [ ${#STORE_METRICS_PORTS[@]} -eq 0 ]; then
    for port in "${STORE_PORTS[@]}"; do STORE_METRICS_PORTS+=($((port + 1000))); done
fi
readonly STORE_NAMES=("Harbour Street" "Mill Lane" "Station Square" "Garden Row")
readonly BIN="$CARGO_TARGET_DIR/release"
readonly LOGS="data/logs"
# The time a service may take to be healthy, in seconds, and to stop, in tenths of a second.
readonly START_SECONDS=60
readonly STOP_TENTHS=300
# Seconds before a service that ended by itself is started again, the first time within a minute, the
# second, and so on. Whatever ends once more in that minute has a reason that a start does not mend.
readonly PAUSES=(1 2 4 8 15)

fail() {
    echo "start.sh: $*" >&2
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

traffic=no
for argument in "$@"; do
    case "$argument" in
        --traffic) traffic=yes ;;
        -h | --help) sed -n '3,12s/^# \{0,1\}//p' "$0"; exit 0 ;;
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
    local port
    [ ${#STORE_PORTS[@]} -eq ${#STORE_NAMES[@]} ] \
        || fail "STORE_PORTS must name ${#STORE_NAMES[@]} ports"
    [ ${#STORE_METRICS_PORTS[@]} -eq ${#STORE_NAMES[@]} ] \
        || fail "STORE_METRICS_PORTS must name ${#STORE_NAMES[@]} ports"
    for port in "$CENTRAL_PORT" "$CENTRAL_METRICS_PORT" \
        "${STORE_PORTS[@]}" "${STORE_METRICS_PORTS[@]}"; do
        ! taken "$port" || fail "port $port is in use; is Holdfast running already?"
    done
}

# Of each service: its name, its command, its process (none if it was given up), when it ended by
# itself, and whether the process is the pause before its next start.
names=()
commands=()
pids=()
endings=()
pausing=()

# Stops what this script started and waits until it has ended; by force if asking does not help.
stop_all() {
    local index pid tenths=0
    trap - EXIT
    trap '' INT TERM
    for ((index = ${#pids[@]} - 1; index >= 0; index--)); do
        [ -n "${pids[index]}" ] || continue
        kill -TERM "${pids[index]}" 2>/dev/null || true
        # One that was frozen (kill -STOP) would not hear of it.
        kill -CONT "${pids[index]}" 2>/dev/null || true
    done
    for index in "${!pids[@]}"; do
        pid="${pids[index]}"
        [ -n "$pid" ] || continue
        while kill -0 "$pid" 2>/dev/null && ((tenths++ < STOP_TENTHS)); do
            sleep 0.1
        done
        if kill -KILL "$pid" 2>/dev/null; then
            echo "start.sh: ${names[index]} did not stop when asked, and was killed" >&2
        fi
        wait "$pid" 2>/dev/null || true
    done
}

on_exit() {
    local status=$?
    stop_all
    exit "$status"
}

# launch <name> <setting...> <program...>: starts a service with these settings; its log is named
# after it.
launch() {
    names+=("$1")
    shift
    commands+=("$(printf '%q ' env "$@")")
    endings+=("")
    pausing+=("")
    begin $((${#names[@]} - 1))
}

# begin <number>: starts the service, for the first time or again.
begin() {
    eval "exec ${commands[$1]}" >>"$LOGS/${names[$1]}.log" 2>&1 &
    pids[$1]=$!
}

# healthy <name> <pid> <port>: waits for the service, but not for ever.
healthy() {
    local name="$1" pid="$2" port="$3" end=$((SECONDS + START_SECONDS))
    while ((SECONDS < end)); do
        if curl -fsS --max-time 2 -o /dev/null "http://127.0.0.1:$port/health/ready" 2>/dev/null; then
            return
        fi
        if ! kill -0 "$pid" 2>/dev/null; then
            tail -n 3 "$LOGS/$name.log" >&2
            fail "$name did not start; its log is $LOGS/$name.log"
        fi
        sleep 0.1
    done
    fail "$name did not become healthy within $START_SECONDS s; its log is $LOGS/$name.log"
}

# ended <number>: the service has ended by itself, or the pause before its next start is over.
ended() {
    local index="$1" name="${names[$1]}" time past=()
    if [ -n "${pausing[index]}" ]; then
        pausing[index]=""
        begin "$index"
        return
    fi
    for time in ${endings[index]}; do
        ((SECONDS - time >= 60)) || past+=("$time")
    done
    if ((${#past[@]} >= ${#PAUSES[@]})); then
        pids[index]=""
        echo "start.sh: $name ends again and again, and is left alone; its log is $LOGS/$name.log" >&2
        [ "$name" != central ] || echo "start.sh: the shops go on with their copies; nothing can be sold" >&2
        return
    fi
    endings[index]="${past[*]} $SECONDS"
    time="${PAUSES[${#past[@]}]}"
    echo "start.sh: $name has ended, and is started again in $time s; its log is $LOGS/$name.log" >&2
    sleep "$time" &
    pids[index]=$!
    pausing[index]=yes
}

# Sees to it that what ends by itself is started again, until nothing is left that could be. The
# shell's own list of its jobs is asked: a process id by itself may be another's meanwhile.
watch() {
    local index running
    while [[ "${pids[*]}" == *[0-9]* ]]; do
        # Silent, or the shell would say in its own words who was killed.
        { sleep 0.5; running="$(jobs -p -r)"; } 2>/dev/null
        running=" ${running//$'\n'/ } "
        for index in "${!pids[@]}"; do
            [ -z "${pids[index]}" ] || [[ "$running" == *" ${pids[index]} "* ]] || ended "$index"
        done
    done
    fail "nothing runs any more"
}

shops() {
    local index
    for index in "${!STORE_NAMES[@]}"; do
        printf '            http://127.0.0.1:%s   store-s%d, %s\n' \
            "${STORE_PORTS[index]}" $((index + 1)) "${STORE_NAMES[index]}"
    done
}

metrics() {
    local index
    printf 'http://127.0.0.1:%s/metrics   central\n' "$CENTRAL_METRICS_PORT"
    for index in "${!STORE_METRICS_PORTS[@]}"; do
        printf '            http://127.0.0.1:%s/metrics   store-s%d\n' \
            "${STORE_METRICS_PORTS[index]}" $((index + 1))
    done
}

welcome() {
    cat <<EOF

Holdfast is running.

  central   http://127.0.0.1:$CENTRAL_PORT   process ${pids[0]}
  shops
$(shops)
  metrics   $(metrics)
  keys      demo (tills), admin-demo (operators)
            THESE ARE DEMO KEYS, known to everybody: never use them for a real shop.
  data      data/
  logs      $LOGS/

Try it:

  curl -s http://127.0.0.1:${STORE_PORTS[1]}/v1/store/inventory/GRO-0001 -H 'X-API-Key: demo'
  curl -s http://127.0.0.1:${STORE_PORTS[0]}/v1/store/inventory/updates -H 'X-API-Key: demo' \\
    -H 'Content-Type: application/json' \\
    -d '{"productId":"GRO-0001","delta":-1,"idempotencyKey":"receipt-1"}'
  curl -s 'http://127.0.0.1:$CENTRAL_PORT/v1/inventory/events?offset=416' -H 'X-API-Key: demo'

EOF
    [ "${FAULT_INJECTION:-false}" = false ] || echo "FAULT_INJECTION is on: calls can be made to fail on purpose."
    [ "$traffic" = no ] || echo "The shops are trading; see $LOGS/traffic.log."
    echo "What ends by itself is started again. Ctrl-C stops everything."
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

launch central \
    PORT="$CENTRAL_PORT" METRICS_PORT="$CENTRAL_METRICS_PORT" DATA_DIR=data/central \
    API_KEYS="demo,demo-s1@store-s1,demo-s2@store-s2,demo-s3@store-s3,demo-s4@store-s4" \
    ADMIN_API_KEYS=admin-demo SEED_CATALOG=central-api/catalogue/sample.csv \
    "$BIN/central-api"
healthy central "${pids[0]}" "$CENTRAL_PORT"

for index in "${!STORE_NAMES[@]}"; do
    id="s$((index + 1))"
    port="${STORE_PORTS[index]}"
    launch "store-$id" \
        STORE_ID="store-$id" STORE_NAME="${STORE_NAMES[index]}" \
        PORT="$port" METRICS_PORT="${STORE_METRICS_PORTS[index]}" \
        DATA_DIR="data/store-$id" API_KEYS=demo ADMIN_API_KEYS=admin-demo \
        CENTRAL_API_URL="http://127.0.0.1:$CENTRAL_PORT" CENTRAL_API_KEY="demo-$id" \
        "$BIN/store-api"
    healthy "store-$id" "${pids[-1]}" "$port"
done

if [ "$traffic" = yes ]; then
    ports="${STORE_PORTS[*]}"
    launch traffic "$BIN/traffic" --stores "${ports// /,}" --central "$CENTRAL_PORT"
fi
welcome

watch
