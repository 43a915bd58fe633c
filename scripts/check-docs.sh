#!/bin/sh
# Checks that docs/configuration.md is what the key table generates (`make docs` writes it).
set -eu
cd "$(dirname "$0")/.."

teahouse=${1:?the binary}
if ! "$teahouse" config --markdown | diff -u docs/configuration.md -; then
    echo "docs/configuration.md is out of date; run: make docs" >&2
    exit 1
fi
