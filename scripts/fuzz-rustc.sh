#!/bin/sh
# The compiler of the workspace's own crates for fuzzing (RUSTC_WORKSPACE_WRAPPER), with the flags that fuzz.sh gives.
# Dependencies stay as the tests built them.
# shellcheck disable=SC2086 # A list of flags is meant.
exec "$@" $FUZZ_COVERAGE
