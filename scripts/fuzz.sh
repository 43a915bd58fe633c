#!/bin/sh
# Searches for input that breaks a check of tools/fuzz, guided by coverage (libFuzzer on the stable toolchain).
#   fuzz.sh [SECONDS [TARGET…]]   fuzzes each target for this time, two at a time
#   fuzz.sh keep                  minimises tools/fuzz/corpus: adds learned inputs that reach new code, removes redundant ones
# FUZZ_DEEP=1 instruments the dependencies too, which needs a build of its own.
# Failing inputs are written to target/fuzz/found, learned ones to target/fuzz/corpus for the next run.
set -eu
cd "$(dirname "$0")/.."

seconds=${1:-60}
[ $# -eq 0 ] || shift
[ "$seconds" != 0 ] || { echo "!!! SKIPPED: no time to fuzz."; exit 0; }
home=$PWD/target/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')

# Coverage instrumentation for libFuzzer, by LLVM's own pass. Debug checks are on, since there is no -O.
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares"
build() { cargo build --quiet --locked --workspace --features teahouse-fuzz/libfuzzer --example fuzz "$@"; }
if [ "${FUZZ_DEEP:-}" = 1 ]; then
    # `--target` keeps build scripts uninstrumented.
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

# Runs one target in its own process.
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
        # Inputs with descriptive names once failed or were written by hand; they stay.
        find "tools/fuzz/corpus/$target" -type f -name '*[!0-9a-f]*' -exec cp {} "$home/kept" \;
        # Without counters: a few hundred small files are enough for the repository.
        run "$target" -merge=1 -use_counters=0 -max_len=1024 "$home/kept" "tools/fuzz/corpus/$target" "$home/corpus/$target"
        rm -rf "tools/fuzz/corpus/$target"
        mv "$home/kept" "tools/fuzz/corpus/$target"
        echo "$target: $(find "tools/fuzz/corpus/$target" -type f | wc -l) inputs, $(du -sb "tools/fuzz/corpus/$target" | cut -f 1) bytes"
    done
    exit 0
fi

report() {
    if wait "$2"; then
        sed -n "s/^Done \([0-9]*\) runs in \([0-9]*\) second.*/$1: \1 inputs in \2 s, no failure/p" "$home/log/$1"
        return
    fi
    failed=1
    input=$(sed -n 's/.*Test unit written to //p' "$home/log/$1" | tail -n 1)
    grep -v '^#[0-9]' "$home/log/$1" | tail -n 40 >&2
    [ -n "$input" ] || { echo "!!! $1 crashed without an input; see target/fuzz/log/$1" >&2; return; }
    cat >&2 <<REPORT
!!! $1 fails for this input: $input
$(od -A d -t x1z "$input" | head -n 20)
    To reproduce:  TEAHOUSE_FUZZ_INPUT=$input cargo test -p teahouse-fuzz --test corpus
    After the fix, keep it under a descriptive name: tools/fuzz/corpus/$1/NAME
REPORT
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
    report "$first" "$first_pid"
    [ -z "$second" ] || report "$second" "$second_pid"
done
exit "$failed"
