#!/bin/sh
# Runs cargo-deny with deny.toml. If cargo-deny is missing, installs a version that is known to build into target/tools.
set -eu
cd "$(dirname "$0")/.."

version=0.20.2
tool=$(command -v cargo-deny || true)
if [ -z "$tool" ]; then
    tool=target/tools/bin/cargo-deny
    if [ ! -x "$tool" ]; then
        echo "==> Installing cargo-deny $version into target/tools (once; takes some minutes)"
        cargo install cargo-deny --version "$version" --locked --root target/tools || {
            echo "!!! cargo-deny could not be installed; nothing was audited." >&2
            exit 1
        }
    fi
fi
echo "==> Licences, bans, sources"
"$tool" --workspace check licenses bans sources
echo "==> Advisories"
# Downloads the RustSec advisory database.
"$tool" --workspace check advisories || {
    echo "!!! There is an advisory above, or the advisory database could not be downloaded." >&2
    exit 1
}
