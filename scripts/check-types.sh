#!/bin/sh
# Checks that docs/openapi.json and packages/types/protocol.ts are what the protocol's tables generate, and that the types
# compile.
set -eu
cd "$(dirname "$0")/.."

schema=${1:?the program that generates them}
generated=$(mktemp -d)
trap 'rm -rf "$generated"' EXIT
"$schema" "$generated"
for file in docs/openapi.json packages/types/protocol.ts; do
    diff -u "$file" "$generated/$file" || {
        echo "!!! $file differs from the code. Run \`make types\`, and commit the result." >&2
        exit 1
    }
done
npm --workspace packages/types run --silent check
