#!/bin/sh
# docs/configuration.md is written for people; this sees to it that it names every key, no other, and the right defaults.
set -eu
cd "$(dirname "$0")/.."

teahouse=${1:?the binary}
keys=$(mktemp)
trap 'rm -f "$keys"' EXIT
"$teahouse" config --keys | sed -n 's/^\([a-z_.]*\)  (.*; default: \(.*\))$/\1 \2/p' >"$keys"

awk -F '[|] *' '
    NR == FNR { key = $0; sub(/ .*/, "", key); value = $0; sub(/^[^ ]* /, "", value); defaults[key] = value; next }
    /^\| `[a-z]+\./ {
        key = $2; gsub(/[` ]/, "", key)
        value = $3; sub(/ +$/, "", value)
        if (!(key in defaults)) { print "docs/configuration.md: there is no key " key; wrong = 1 }
        # A default in words depends on the machine.
        else if (value ~ /^`/ || value == "not set") {
            gsub(/`/, "", value)
            if (value != defaults[key]) { print "docs/configuration.md: the default of " key " is " defaults[key] ", not " value; wrong = 1 }
        }
        delete defaults[key]
    }
    END { for (key in defaults) { print "docs/configuration.md: " key " is missing"; wrong = 1 } exit wrong }
' "$keys" docs/configuration.md
