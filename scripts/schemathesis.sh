#!/bin/sh
# Runs Schemathesis against a server: requests that it derives from docs/openapi.json. Fails on an error of the server, a
# response that the document does not describe, a valid request that the server refuses, and an invalid one that it
# accepts, unless scripts/schemathesis/exclusions.toml lists it with a reason. Metrics have a listener of their own and are
# left out. Installs Schemathesis into target/tools.
#
#   scripts/schemathesis.sh target/debug/teahouse [examples per operation]
set -eu
cd "$(dirname "$0")/.."
root=$PWD

server=${1:?the binary of the server}
examples=${2:-40}
seed=20261130
version=4.32.5

tools=$root/target/tools/schemathesis-$version
if [ ! -x "$tools/bin/schemathesis" ]; then
    python3 -m venv "$tools"
    "$tools/bin/pip" install --quiet "schemathesis==$version"
fi

work=$(mktemp -d)
pid=
stop() {
    [ -z "$pid" ] || { kill "$pid" 2>/dev/null; wait "$pid" 2>/dev/null || true; }
    pid=
}
trap 'stop; rm -rf "$work"' EXIT

# No limit gets in the way.
for limit in SENDS ENVELOPES READS CONNECTS LOGINS REGISTRATIONS BAD_TOKENS; do
    export "TEAHOUSE_LIMITS__${limit}_PER_SECOND=100000" "TEAHOUSE_LIMITS__${limit}_BURST=100000"
done
export TEAHOUSE_LIMITS__WRONG_PASSWORDS_PER_MINUTE=100000 TEAHOUSE_LIMITS__WRONG_PASSWORDS_BURST=100000
export TEAHOUSE_LOG__FILTER=warn

# start DATA [KEY=VALUE…]: starts a server with this data directory and sets `url`.
start() {
    data=$work/$1
    shift
    mkdir -p "$data"
    env "$@" "$server" serve --listen 127.0.0.1:0 --data "$data" >"$data/out" 2>"$data/log" &
    pid=$!
    for _ in $(seq 100); do
        url=$(grep -o 'http://127.0.0.1:[0-9]*' "$data/out" | head -n 1) && [ -n "$url" ] && return
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    cat "$data/log" >&2
    echo "!!! the server did not start" >&2
    exit 1
}

# account NAME: registers a user and prints a token.
account() {
    curl --silent --fail --data "{\"username\":\"$1\",\"password\":\"secret123\",\"email\":\"$1@example.org\"}" \
        "$url/api/auth/register" | sed 's/.*"token":"\([^"]*\)".*/\1/'
}

# check AUTHORIZATION [FILTER…]: runs Schemathesis over the operations of the filter.
check() {
    authorization=$1
    shift
    # It writes a cache into the directory where it runs.
    (cd "$work" && SCHEMATHESIS_HOOKS=hooks PYTHONPATH="$root/scripts/schemathesis" "$tools/bin/schemathesis" \
        --config-file "$root/scripts/schemathesis/schemathesis.toml" \
        run "$root/docs/openapi.json" --url "$url" --seed "$seed" --max-examples "$examples" --workers 1 \
        --generation-database none --header "Authorization: $authorization" "$@") || failed=1
}

failed=0

# A server with accounts of its own. Operations that end a login have a user of their own.
start accounts
token=$(account schemathesis)
check "Bearer $token" --exclude-tag server --exclude-operation-id logOut --exclude-operation-id changePassword \
    --exclude-operation-id metrics
check "Bearer $(account leaver)" --include-operation-id logOut
check "Bearer $(account changer)" --include-operation-id changePassword
key=$("$server" key create schemathesis --data "$work/accounts" | grep -o 'thk_[A-Za-z0-9_-]*' | head -n 1)
check "ApiKey $key" --include-tag server
stop

# A server with a site's tokens, which takes the site's users.
start site TEAHOUSE_AUTH__JWT_SECRET=0123456789abcdef0123456789abcdef TEAHOUSE_AUTH__ISSUER=https://www.example.org
key=$("$server" key create schemathesis --data "$work/site" | grep -o 'thk_[A-Za-z0-9_-]*' | head -n 1)
check "ApiKey $key" --include-operation-id putSiteUsers
stop

[ "$failed" = 0 ] || exit 1
