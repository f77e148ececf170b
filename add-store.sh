#!/usr/bin/env bash
#
# Adds a shop to the containers of docker-compose.yml: ./add-store.sh store-s5 ["Market Place"]
#
# It gets a key of its own (.env), a container with free ports and a volume (docker-compose.override.yml), and a
# place in Prometheus (prometheus/targets-compose/stores, which Prometheus reads by itself). `docker compose up -d` then
# starts the shop, and starts central again, which has to learn the key. A shop that is there already is left as it
# is; if this was interrupted, run it again.

set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"

readonly OVERRIDE=docker-compose.override.yml

fail() {
    echo "add-store.sh: $*" >&2
    exit 1
}

# setting <name>: its value in .env, or nothing.
setting() { sed -n "s/^$1=//p" .env | tail -n 1; }

# set_setting <name> <value>: writes it into .env, in place of the old one.
set_setting() {
    (
        umask 077
        grep -v "^$1=" .env >.env.new || true
        printf '%s=%s\n' "$1" "$2" >>.env.new
    )
    mv .env.new .env
}

# part <heading>: that part of the override, without its heading.
part() {
    [ -f "$OVERRIDE" ] || return 0
    sed -n "/^$1:\$/,/^[a-z]*:\$/p" "$OVERRIDE" | sed '/^[a-z]*:$/d'
}

# The container of the new shop. The four of docker-compose.yml have 8083 to 8086, 3010 to 3013, 9083 to 9086.
service() {
    cat <<EOF
  $id:
    extends: {file: store.compose.yml, service: store}
    ports:
      - "\${BIND:-127.0.0.1}:$((8082 + number)):8083"
      - "\${BIND:-127.0.0.1}:$((3009 + number)):8083"
      - "127.0.0.1:$((9082 + number)):9083"
    environment:
      STORE_ID: $id
      STORE_NAME: "$name"
      CENTRAL_API_KEY: \${$variable:?not in .env}
    volumes:
      - $id-data:/data
EOF
}

id="${1:-}"
name="${2:-$id}"
[[ "$id" =~ ^[a-z0-9]([a-z0-9-]{0,60}[a-z0-9])?$ ]] \
    || fail "usage: ./add-store.sh <id> [name]; the id has small letters, digits and dashes"
[[ "$name" =~ ^[^\"\\\$[:cntrl:]]+$ ]] || fail "the name of a shop cannot have any of \" \\ \$ in it"
[ -f .env ] || fail "there is no .env yet: copy .env.example, or run ./clean-rebuild.sh"
if cat docker-compose.yml "$OVERRIDE" 2>/dev/null | grep -qx "  $id:"; then
    echo "add-store.sh: $id is there already"
    exit
fi

variable="$(tr 'a-z-' 'A-Z_' <<<"$id")_KEY"
key="$(setting "$variable")"
if [ -z "$key" ]; then
    key="$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')"
    set_setting "$variable" "$key"
fi
more="$(setting MORE_STORE_KEYS)"
[[ "$more," == *"@$id,"* ]] || set_setting MORE_STORE_KEYS "$more,$key@$id"
printf -- '- targets: ["%s:9083"]\n  labels: {store: %s}\n' "$id" "$id" >"prometheus/targets-compose/stores/$id.yml"

# Last, and at once: until it is there, the shop is not.
number=$((5 + $(part services | grep -c '^  [^ ]' || true)))
{
    echo "# Made by add-store.sh; keys are in .env."
    echo "services:"
    part services
    service
    echo "volumes:"
    part volumes
    echo "  $id-data:"
} >"$OVERRIDE.new"
mv "$OVERRIDE.new" "$OVERRIDE"
echo "add-store.sh: $id will be at http://127.0.0.1:$((8082 + number)); now run: docker compose up -d"
