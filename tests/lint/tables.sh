#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# tables.sh - the tables in the documents say what the tables in the code say.
. "$(dirname "$0")/lib.sh"

# Rows X(NAME, ...) of a macro, continued lines joined.
rows() { # FILE MACRO
    [ -e "$1" ] || return
    awk -v macro="#define $2(" '
        index($0, macro) == 1 { on = 1; next }
        on { line = $0; more = sub(/\\$/, "", line); text = text line; if (!more) exit }
        END { print text }' "$1" | sed -E 's/[[:space:]]+X\(/\nX(/g' | grep '^X(' |
        sed -E 's/^X\(//; s/\)[[:space:]]*$//; s/[[:space:]]+/ /g'
}

# A row of a document's table must have all of the given texts.
expect() { # DOCUMENT WHAT TEXT...
    document=$1 what=$2
    shift 2
    lines=$(grep '^|' "$document" 2>/dev/null)
    for text; do
        lines=$(printf '%s\n' "$lines" | grep -F -e "$text")
    done
    [ -n "$lines" ] || echo "$document: no row for $what ($*)"
}

rows mod_commserver/queue/csq.h CSQ_STATUS_MAP | while IFS=, read -r name number text; do
    expect doc/status-codes.md "CSQ_$name" "CSQ_$name" "| ${number# } |" \
        "$(echo "$text" | tr -d '"' | sed 's/^ //')"
done | report

[ ! -e doc/protocol.md ] || rows mod_commserver/cs_problem.h CS_PROBLEM_MAP |
    while IFS=, read -r name type status rest; do
        expect doc/protocol.md "problem $name" "$(echo "$type" | tr -d '" ')" "${status# }"
    done | report
[ ! -e doc/agent.md ] || rows commclient/cc_command.h CC_COMMAND_ERRORS |
    while IFS=, read -r name code rest; do
        expect doc/agent.md "error $name" "\`$(echo "$code" | tr -d '" ')\`"
    done | report
finish
