#!/bin/sh
# The Autobahn fuzzing client (cases 1 to 7 and 10) against an echo on our codec, compared with scripts/autobahn/expected.txt.
#   autobahn.sh              fails where there is no Python 2.7, on which the client runs and nothing newer
#   autobahn.sh if-possible  says so and goes on
#   autobahn.sh write        writes down what was seen as what is expected
set -eu
cd "$(dirname "$0")/.."

mode=${1:-}
home=target/autobahn
scripts/setup.sh autobahn || {
    status=$?
    # 3: there is no Python 2.7, which cannot be helped from here.
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
    [ "$tries" -le 100 ] || { echo "!!! The echo did not start." >&2; exit 1; }
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
    echo "!!! The fuzzing client did not run to its end." >&2
    exit 1
fi
rm -rf "$home/reports"
cp -R "$work/reports" "$home/reports"
option=""
[ "$mode" != write ] || option=--write
"$home/bin/python" scripts/autobahn/compare.py "$home/reports/index.json" scripts/autobahn/expected.txt $option || {
    echo "Each case stands in full in $home/reports/index.html" >&2
    exit 1
}
