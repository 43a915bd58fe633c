#!/bin/sh
# Looks for bytes for which a check of fuzz/ does not hold, guided by coverage (libFuzzer on the stable toolchain).
#   fuzz.sh [SECONDS [TARGET…]]   every target for so many seconds, two at a time
#   fuzz.sh keep                  takes into tools/fuzz/corpus what reaches code that nothing there reaches, and leaves out the rest
# FUZZ_DEEP=1 instruments the dependencies too, which takes a build of its own.
# What was found lies in target/fuzz/found; what is learned on the way in target/fuzz/corpus, for the next time.
set -eu
cd "$(dirname "$0")/.."

seconds=${1:-60}
[ $# -eq 0 ] || shift
[ "$seconds" != 0 ] || { echo "!!! SKIPPED: nothing was fuzzed."; exit 0; }
home=$PWD/target/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')

# What libFuzzer needs to see of the code, as the compiler's own pass writes it. Without -O, Rust's own checks are on.
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares"
build() { cargo build --quiet --locked --workspace --features teahouse-fuzz/libfuzzer --example fuzz "$@"; }
if [ "${FUZZ_DEEP:-}" = 1 ]; then
    # Build scripts stay as they are, since a target is named.
    RUSTFLAGS=$coverage build --target "$host" --target-dir "$home/build"
    fuzz=$home/build/$host/debug/examples/fuzz
else
    FUZZ_COVERAGE=$coverage RUSTC_WORKSPACE_WRAPPER=$PWD/scripts/fuzz-rustc.sh build
    fuzz=${CARGO_TARGET_DIR:-$PWD/target}/debug/examples/fuzz
fi

[ $# -gt 0 ] || set -- $(cd tools/fuzz/corpus && echo *)
mkdir -p "$home/found" "$home/log"
for target in "$@"; do
    [ -d "tools/fuzz/corpus/$target" ] || { echo "!!! There is no target \"$target\"." >&2; exit 1; }
    mkdir -p "$home/corpus/$target"
done

# One target, in a process of its own.
run() {
    target=$1
    shift
    TEAHOUSE_FUZZ_TARGET=$target RUST_BACKTRACE=1 "$fuzz" -timeout=20 -rss_limit_mb=2048 -max_len=4096 \
        "-artifact_prefix=$home/found/$target-" "$@" >"$home/log/$target" 2>&1
}

if [ "$seconds" = keep ]; then
    for target in "$@"; do
        rm -rf "$home/kept"
        mkdir -p "$home/kept"
        # Names that say something are of inputs that once failed or were written by hand; those stay.
        find "tools/fuzz/corpus/$target" -type f -name '*[!0-9a-f]*' -exec cp {} "$home/kept" \;
        # By code that is reached, not by how often: a few hundred small files are enough for a repository.
        run "$target" -merge=1 -use_counters=0 -max_len=1024 "$home/kept" "tools/fuzz/corpus/$target" "$home/corpus/$target"
        rm -rf "tools/fuzz/corpus/$target"
        mv "$home/kept" "tools/fuzz/corpus/$target"
        echo "$target: $(find "tools/fuzz/corpus/$target" -type f | wc -l) inputs, $(du -sb "tools/fuzz/corpus/$target" | cut -f 1) bytes"
    done
    exit 0
fi

tell() {
    if wait "$2"; then
        sed -n "s/^Done \([0-9]*\) runs in \([0-9]*\) second.*/$1: \1 inputs in \2 s, nothing found/p" "$home/log/$1"
        return
    fi
    failed=1
    input=$(sed -n 's/.*Test unit written to //p' "$home/log/$1" | tail -n 1)
    grep -v '^#[0-9]' "$home/log/$1" | tail -n 40 >&2
    [ -n "$input" ] || { echo "!!! $1 ended by itself; all it said is in target/fuzz/log/$1" >&2; return; }
    cat >&2 <<SAY
!!! $1 found an input for which it does not hold: $input
$(od -A d -t x1z "$input" | head -n 20)
    To play it again:    TEAHOUSE_FUZZ_INPUT=$input cargo test -p teahouse-fuzz --test corpus
    When it is cured, keep it under a name that tells its story: tools/fuzz/corpus/$1/a-story
SAY
}

failed=0
while [ $# -gt 0 ]; do
    first=$1
    shift
    run "$first" "-max_total_time=$seconds" "$home/corpus/$first" "tools/fuzz/corpus/$first" &
    first_pid=$!
    second=""
    if [ $# -gt 0 ]; then
        second=$1
        shift
        run "$second" "-max_total_time=$seconds" "$home/corpus/$second" "tools/fuzz/corpus/$second" &
        second_pid=$!
    fi
    tell "$first" "$first_pid"
    [ -z "$second" ] || tell "$second" "$second_pid"
done
exit "$failed"
