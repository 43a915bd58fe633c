#!/bin/sh
# Clippy as the compiler of the workspace's own crates (RUSTC_WORKSPACE_WRAPPER): it lints and compiles in one pass,
# so that linting, the tests and the page's server share one build. A warning fails the build.
exec clippy-driver "$@" -Dwarnings
