#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# man.sh - the manual pages are well-formed, and nothing is missing in them: no
# verb, no option, no key, no directive, no command and no error of a protocol.
set -u

pages=$top_builddir/man
findings=$(mktemp) || exit 1
trap 'rm -f "$findings"' EXIT

# A page without its macros, as one text to look in.
plain() { # PAGE
    sed -e 's/\\f[BIR]//g' -e 's/\\-/-/g' -e 's/\\e/\\/g' -e 's/\\&//g' "$pages/$1"
}

expect() { # PAGE WHAT: stdin has one text a line that the page must have
    text=$(plain "$1")
    any=
    while read -r word; do
        any=1
        printf '%s\n' "$text" | grep -qF -e "$word" ||
            echo "$1: $2 '$word' is missing: see man/$1.md and what it includes" >>"$findings"
    done
    [ -n "$any" ] || echo "$1: no $2 was found to look for" >>"$findings"
}

# ---- completeness -------------------------------------------------------------

client=$top_builddir/commclient/commclient
verbs=$("$client" --help | sed -nE 's/^  ([a-z]+) .*/\1/p')
for verb in $verbs; do
    echo "commclient $verb"
done | expect commclient.1 verb
for verb in $verbs; do
    "$client" "$verb" --help | grep -oE '^ +(-., )?--[a-z-]+' | sed 's/^ *//'
done | expect commclient.1 option
"$top_builddir/mod_commserver/writer/commsend" --help | grep -oE '^ +--[a-z-]+' |
    sed 's/^ *//' | expect commsend.1 option

# Rows of the tables of keys: { "name", set_name }.
cat "$top_srcdir"/commclient/cc_config*.c |
    grep -oE '\{ "[a-z_]+", set_' | sed -E 's/.*"(.*)".*/\1/' | sort -u |
    expect commclient.conf.5 key
sed -nE 's/.*"(CommServer[A-Za-z]+)".*/.SS \1/p' "$top_srcdir/mod_commserver/cs_directives.h" |
    expect mod_commserver.7 directive
# Rows of the table of members, and X(NAME, "code", ...).
grep -oE '\{ "[a-z]+", read_' "$top_srcdir/commclient/cc_command.c" |
    sed -E 's/.*"(.*)".*/"\1"/' | expect commclient-protocol.7 member
grep -oE 'X\([A-Z_]+, "[a-z-]+"' "$top_srcdir/commclient/cc_command.h" |
    sed -E 's/.*"(.*)"/\1/' | expect commclient-protocol.7 error
grep -oE 'X\([A-Z_]+, "[a-z-]+"' "$top_srcdir/mod_commserver/cs_problem.h" |
    sed -E 's/.*"(.*)"/\1/' | expect commserver-protocol.7 problem

grep -oE '^[a-z].*\bcommclient_[a-z]+\(' "$top_srcdir/commclient/lib/commclient.h" |
    sed -E 's/.*(commclient_[a-z]+\()/\1/' | expect libcommclient.3 function

# Each section of the agent's document stands in some page.
grep -E '^## ' "$top_srcdir/doc/agent.md" | while read -r title; do
    grep -qxF "@include doc/agent.md | $title" "$top_srcdir"/man/*.md ||
        echo "man/: no page includes '$title' of doc/agent.md" >>"$findings"
done

# ---- form ---------------------------------------------------------------------

looked=
for page in "$pages"/*.[1357]; do
    if command -v mandoc >/dev/null; then
        looked=mandoc
        mandoc -Tlint -Wwarning "$page" >>"$findings"
    fi
    # What man itself would use.
    if command -v groff >/dev/null; then
        looked=groff
        groff -ww -mandoc -Kutf8 -Tutf8 -rLL=100n "$page" 2>>"$findings" >/dev/null
    fi
done

if [ -s "$findings" ]; then
    cat "$findings"
    exit 1
fi
[ -n "$looked" ] || {
    echo "skipped: complete, but neither mandoc nor groff is there to look at the form"
    exit 77
}
