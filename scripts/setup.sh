#!/bin/sh
# Installs what this machine lacks, and nothing that it has. Each argument is a thing to have:
#   build    a C compiler, for the SQLite that is built in
#   browser  Chromium, for the page's tests
#   fonts    fonts with Chinese, for the README's picture
#   web      the packages in web/package-lock.json
#   sdk      the packages in sdk/package-lock.json
set -eu
cd "$(dirname "$0")/.."

fail() {
    printf '\n!!! %s\n' "$@" >&2
    exit 1
}

lacking=""
want() { lacking="$lacking $1"; }

for thing in "$@"; do
    case "$thing" in
    build)
        command -v cargo >/dev/null || fail "Rust is missing: see https://rustup.rs (the version in rust-toolchain.toml comes by itself)."
        command -v cc >/dev/null || want "gcc libc6-dev"
        ;;
    browser) [ -n "${CHROMIUM:-}" ] || command -v chromium >/dev/null || want chromium ;;
    fonts) command -v fc-list >/dev/null && [ -n "$(fc-list :lang=zh)" ] || want "fontconfig fonts-noto-cjk" ;;
    web | sdk)
        command -v node >/dev/null || fail "Node.js is missing: version 20 or later, from your distribution or https://nodejs.org"
        [ "$(node -p 'process.versions.node.split(".")[0]')" -ge 20 ] || fail "Node.js $(node --version) is too old: version 20 or later is needed."
        ;;
    *) fail "setup.sh knows nothing called \"$thing\"" ;;
    esac
done

if [ -n "$lacking" ]; then
    echo "==> Installing:$lacking"
    command -v apt-get >/dev/null || fail "This is no Debian: please install$lacking by hand, then try again (CHROMIUM=/path/to/chromium names another browser)."
    as_root=""
    if [ "$(id -u)" -ne 0 ]; then
        sudo -n true 2>/dev/null || fail "Installing needs root. Please run: sudo apt-get install --no-install-recommends$lacking"
        as_root="sudo -n"
    fi
    # What the package lists know already may do; fetching them anew is for when it does not.
    # shellcheck disable=SC2086 # A list of words is meant.
    install_lacking() { DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -q --no-install-recommends $lacking; }
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    { install_lacking || { $as_root apt-get update -q && install_lacking; }; } >"$log" 2>&1 || {
        tail -n 20 "$log" >&2
        fail "apt-get could not install$lacking (the network, perhaps?)."
    }
fi

for thing in "$@"; do
    if [ "$thing" = web ] || [ "$thing" = sdk ]; then
        # npm leaves its own note of what it installed; older than the lock means: install anew.
        note=$thing/node_modules/.package-lock.json
        if [ ! -e "$note" ] || [ "$thing/package-lock.json" -nt "$note" ]; then
            echo "==> Installing the test tools of $thing"
            npm --prefix "$thing" ci --no-audit --no-fund --loglevel=error || fail "npm could not install what $thing/package-lock.json lists (the network, perhaps?)."
            touch "$note"
        fi
    fi
done
