#!/bin/sh
# Installs what this machine lacks, and nothing that it has. Each argument is a thing to have:
#   build    a C compiler, for the SQLite that is built in
#   browser  Chromium, for the page's tests
#   fonts    fonts with Chinese, for the README's picture
#   npm      the packages in package-lock.json, for the page and the TypeScript packages
#   nextest  cargo-nextest, the test runner, in target/tools
#   deny     cargo-deny, which checks dependencies, in target/tools
#   fuzz     a C++ compiler, for libFuzzer
#   autobahn the Autobahn fuzzing client, in target/autobahn; exit status 3 where there is no Python 2.7
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
    fuzz)
        command -v cargo >/dev/null || fail "Rust is missing: see https://rustup.rs (the version in rust-toolchain.toml comes by itself)."
        command -v c++ >/dev/null || want "g++"
        ;;
    autobahn) ;;
    nextest | deny)
        [ -x "target/tools/bin/cargo-$thing" ] || python3 -m pip --version >/dev/null 2>&1 || want python3-pip
        ;;
    fonts) command -v fc-list >/dev/null && [ -n "$(fc-list :lang=zh)" ] || want "fontconfig fonts-noto-cjk" ;;
    npm)
        command -v node >/dev/null || fail "Node.js is missing: version 20 or later, from your distribution or https://nodejs.org"
        [ "$(node -p 'process.versions.node.split(".")[0]')" -ge 20 ] || fail "Node.js $(node --version) is too old: version 20 or later is needed."
        ;;
    *) fail "setup.sh knows nothing called \"$thing\"" ;;
    esac
done

if [ -n "$lacking" ]; then
    echo "==> Installing:$lacking"
    command -v apt-get >/dev/null || fail "There is no apt-get here: please install$lacking by hand, then try again (CHROMIUM=/path/to/chromium names another browser)."
    as_root=""
    if [ "$(id -u)" -ne 0 ]; then
        sudo -n true 2>/dev/null || fail "Installing needs root. Please run: sudo apt-get install --no-install-recommends$lacking"
        as_root="sudo -n"
    fi
    # Try the package lists that are there first, and fetch new ones only if that fails.
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
    [ "$thing" = npm ] || continue
    # npm writes this file at the end of an installation, so an older one means that the lock file changed since.
    installed=node_modules/.package-lock.json
    if [ ! -e "$installed" ] || [ package-lock.json -nt "$installed" ]; then
        echo "==> Installing the npm packages"
        npm ci --no-audit --no-fund --loglevel=error || fail "npm could not install what package-lock.json lists (the network, perhaps?)."
        touch "$installed"
    fi
done

for thing in "$@"; do
    case "$thing" in nextest | deny) ;; *) continue ;; esac
    tool=target/tools/bin/cargo-$thing
    pin=$(grep "cargo-$thing==" scripts/tools.txt)
    version=${pin#*==}
    version=${version%% *}
    case "$("$tool" --version 2>/dev/null)" in "cargo-$thing $version"*) continue ;; esac
    echo "==> Installing cargo-$thing $version into target/tools (once)"
    wheel=$(mktemp -d)
    printf '%s\n' "$pin" >"$wheel/pin"
    mkdir -p target/tools/bin
    if python3 -m pip download --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: \
        --dest "$wheel" --requirement "$wheel/pin" 2>"$wheel/log" &&
        python3 -m zipfile -e "$wheel"/*.whl "$wheel/unpacked"; then
        install -m 755 "$(find "$wheel/unpacked" -type f -name "cargo-$thing")" "$tool"
    else
        echo "    There is no built one for this machine, so cargo builds it, which takes some minutes."
        cargo install "cargo-$thing" --version "$version" --locked --root target/tools ||
            fail "cargo-$thing could not be installed (the network, perhaps?)."
    fi
    rm -rf "$wheel"
done

# A Python 2.7 that runs: the one that is named, one on the path, or pyenv's.
python27() {
    for candidate in "${PYTHON27:-}" "$(command -v python2.7 || true)" "$(pyenv prefix 2.7.18 2>/dev/null || true)/bin/python2.7"; do
        if [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (2, 7))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
}

for thing in "$@"; do
    [ "$thing" = autobahn ] || continue
    home=target/autobahn
    list=scripts/autobahn/requirements.txt
    cmp -s "$list" "$home/installed.txt" && continue
    python=$(python27)
    [ -n "$python" ] || {
        echo "!!! The Autobahn fuzzing client runs on Python 2.7 alone, and there is none here: PYTHON27=/path/to/python2.7 names one; pyenv install 2.7.18 makes one." >&2
        exit 3
    }
    echo "==> Installing the Autobahn fuzzing client into $home (once)"
    rm -rf "$home"
    mkdir -p "$home/boot"
    log=$home/boot/log
    # Python 2.7 has no venv of its own, and this is the last virtualenv that knows it.
    {
        "$python" -m pip install --target "$home/boot" virtualenv==20.15.1 &&
            PYTHONPATH=$home/boot "$python" -m virtualenv "$home" &&
            "$home/bin/pip" install -r "$list" &&
            "$home/bin/pip" install --no-deps autobahntestsuite==25.10.1
    } >"$log" 2>&1 || {
        tail -n 20 "$log" >&2
        fail "pip could not install what $list lists (the network, perhaps?)."
    }
    rm -rf "$home/boot"
    cp "$list" "$home/installed.txt"
done
