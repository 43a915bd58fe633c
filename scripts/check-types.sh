#!/bin/sh
# Whether docs/openapi.json and packages/types/protocol.ts are what the protocol's own types say, and whether the types compile.
set -eu
cd "$(dirname "$0")/.."

schema=${1:?the program that makes them}
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
"$schema" "$made"
for file in docs/openapi.json packages/types/protocol.ts; do
    diff -u "$file" "$made/$file" || {
        echo "!!! $file is not what the code says. Please run \`make types\`, and commit what it wrote." >&2
        exit 1
    }
done
npm --workspace packages/types run --silent check
