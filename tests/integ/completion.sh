#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# completion.sh - what the shells propose; zsh and fish where they are there.
set -u

folder=$top_srcdir/commclient/completion
PATH=$top_builddir/commclient:$top_builddir/mod_commserver/writer:$PATH
place=$(mktemp -d) || exit 1
agent=
finish() {
    [ -z "$agent" ] || { kill "$agent" && wait "$agent"; }
    rm -rf "$place"
}
trap finish EXIT
status=0

fail() {
    echo "$*"
    status=1
}

# ---- bash -----------------------------------------------------------------------

# shellcheck source=/dev/null
. "$folder/bash/commclient"
# shellcheck source=/dev/null
. "$folder/bash/commsend"

complete_line() { # FUNCTION WORD...: the last one is being typed
    COMP_WORDS=("${@:2}")
    COMP_CWORD=$(($# - 2))
    "$1" 2>/dev/null
    printf '%s\n' "${COMPREPLY[@]}" | sort | tr '\n' ' '
}

expect() { # PROPOSED FUNCTION WORD...
    local found
    found=$(complete_line "${@:2}")
    [ "$found" = "$1 " ] || fail "bash: '${*:3}' gives '$found', not '$1'"
}

expect "send setup status" _commclient commclient s
expect "--help --version" _commclient commclient --
expect "--json" _commclient commclient status --j
expect "--config --help --inbox --socket --verbose" _commclient commclient run --
expect "--to --topic --ttl --type" _commsend commsend --t
expect "application/json application/octet-stream" _commsend commsend --type app
expect "" _commsend commsend --app x
expect "" _commclient commclient nonsense --
expect "remove retry" _commclient commclient dead re
expect "" _commclient commclient dead show ""
for verb in $(commclient --help | sed -nE 's/^  ([a-z]+) .*/\1/p'); do
    [[ " $(complete_line _commclient commclient "") " == *" $verb "* ]] ||
        fail "bash: verb $verb is not proposed"
    [[ " $(complete_line _commclient commclient "$verb" --h) " == *" --help "* ]] ||
        fail "bash: $verb --help is not proposed"
done

cat >"$place/my.conf" <<END
[agent]
socket = socket
inbox = inbox
[server main]
url = http://127.0.0.1:1/
END
chmod 700 "$place"
expect "$place/my.conf" _commclient commclient run --config "$place/my"
expect "$place/my.conf" _commclient commclient run -c "$place/my"

# ---- with an agent ----------------------------------------------------------------

# Wait until the command succeeds, 20 seconds at most.
await() {
    local end=$((SECONDS + 20))
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$end" ] || { fail "not within 20 s: $*"; exit 1; }
        read -rt 0.05 <> <(:)
    done
}

commclient run --config "$place/my.conf" 2>"$place/log" &
agent=$!
await commclient status --socket "$place/socket"
commclient listen --socket "$place/socket" orders >/dev/null &
one=$!
commclient listen --socket "$place/socket" mail >/dev/null &
two=$!
both() { [ "$(commclient status -s "$place/socket" | grep -cE '^(orders|mail) ')" = 2 ]; }
await both
expect "mail orders" _commclient commclient listen --socket "$place/socket" ""
expect "orders" _commclient commclient dead -s "$place/socket" --app o
expect "orders" _commclient commclient listen -c "$place/my.conf" o

# ---- others -----------------------------------------------------------------------

if command -v fish >/dev/null; then
    export XDG_CONFIG_HOME=$place XDG_DATA_HOME=$place
    in_fish() { # LINE
        fish --no-config -c "source $folder/fish/commclient.fish
            source $folder/fish/commsend.fish
            complete -C '$1'" 2>&1 | cut -f 1 | sort | tr '\n' ' '
    }
    found=$(in_fish "commclient s")
    [ "$found" = "send setup status " ] || fail "fish: 'commclient s' gives '$found'"
    found=$(in_fish "commclient status --j")
    [ "$found" = "--json " ] || fail "fish: 'commclient status --j' gives '$found'"
    found=$(in_fish "commsend --seg")
    [ "$found" = "--segment " ] || fail "fish: 'commsend --seg' gives '$found'"
else
    echo "fish is not there: its completion is not tried"
fi

# The functions that propose are put in place of zsh's own.
if command -v zsh >/dev/null; then
    in_zsh() { # WORD...
        zsh -fc "_describe() { [ \"\$1\" = -o ] && shift; print -l -- \${(P)2}; }
            _files() { print files; }
            service=\$1 words=(\"\$@\") CURRENT=\$#
            source $folder/zsh/_commclient" zsh "$@" 2>&1 | cut -d : -f 1 | sort | tr '\n' ' '
    }
    [[ " $(in_zsh commclient s) " == *" setup "* ]] || fail "zsh: verbs: $(in_zsh commclient s)"
    [[ " $(in_zsh commclient status --j) " == *" --json "* ]] ||
        fail "zsh: options: $(in_zsh commclient status --j)"
    [ "$(in_zsh commclient run --config x)" = "files " ] || fail "zsh: files"
    [[ " $(in_zsh commsend --s) " == *" --segment "* ]] || fail "zsh: $(in_zsh commsend --s)"
else
    echo "zsh is not there: its completion is not tried"
fi

kill "$one" "$two" 2>/dev/null
wait "$one" "$two" 2>/dev/null
exit $status
