#!/bin/sh
# Runs the Autobahn fuzzing client (cases 1 to 7 and 10) against an echo server on our codec, and compares the results with
# scripts/autobahn/expected.txt.
#   autobahn.sh              fails without Python 2.7, which the client needs
#   autobahn.sh if-possible  skips without Python 2.7
#   autobahn.sh write        writes the results as the expected ones
set -eu
cd "$(dirname "$0")/.."

mode=${1:-}
home=target/autobahn
scripts/setup.sh autobahn || {
    status=$?
    # Status 3: there is no Python 2.7.
    if [ "$mode" = if-possible ] && [ "$status" -eq 3 ]; then
        echo "!!! SKIPPED: the Autobahn cases did not run."
        exit 0
    fi
    exit "$status"
}

work=$(mktemp -d)
echo_pid=""
end() {
    [ -z "$echo_pid" ] || kill "$echo_pid" 2>/dev/null || true
    rm -rf "$work"
}
trap end EXIT
trap 'exit 130' INT TERM

"${CARGO_TARGET_DIR:-target}/debug/examples/echo" >"$work/address" &
echo_pid=$!
tries=0
until [ -s "$work/address" ]; do
    tries=$((tries + 1))
    [ "$tries" -le 100 ] || { echo "!!! The echo server did not start." >&2; exit 1; }
    sleep 0.1
done

cat >"$work/spec.json" <<SPEC
{
    "outdir": "$work/reports",
    "servers": [{ "agent": "Teahouse", "url": "$(cat "$work/address")" }],
    "cases": ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"],
    "exclude-cases": [],
    "exclude-agent-cases": {}
}
SPEC
if ! "$home/bin/python" "$home/bin/wstest" -m fuzzingclient -s "$work/spec.json" >"$work/log" 2>&1; then
    tail -n 20 "$work/log" >&2
    echo "!!! The fuzzing client failed." >&2
    exit 1
fi
rm -rf "$home/reports"
cp -R "$work/reports" "$home/reports"
option=""
[ "$mode" != write ] || option=--write
"$home/bin/python" scripts/autobahn/compare.py "$home/reports/index.json" scripts/autobahn/expected.txt $option || {
    echo "Details of each case: $home/reports/index.html" >&2
    exit 1
}
