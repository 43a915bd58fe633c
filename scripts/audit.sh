#!/bin/sh
# cargo-deny over deny.toml. It is installed into target/tools when it is missing, in a version that is known to build here.
set -eu
cd "$(dirname "$0")/.."

version=0.20.2
tool=$(command -v cargo-deny || true)
if [ -z "$tool" ]; then
    tool=target/tools/bin/cargo-deny
    if [ ! -x "$tool" ]; then
        echo "==> Installing cargo-deny $version into target/tools (once; takes some minutes)"
        cargo install cargo-deny --version "$version" --locked --root target/tools || {
            echo "!!! cargo-deny could not be installed, so nothing was audited." >&2
            exit 1
        }
    fi
fi
echo "==> Licences, bans, sources"
"$tool" --workspace check licenses bans sources
echo "==> Advisories"
# These come over the network, from the RustSec database.
"$tool" --workspace check advisories || {
    echo "!!! Either there is an advisory above, or the database of advisories could not be fetched." >&2
    exit 1
}
