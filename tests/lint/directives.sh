#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# directives.sh - each directive has a name in cs_directives.h, a row in the
# command table, a page in doc/directives and a line in doc/commserver.conf;
# each number of a configuration has a start and a merge.
. "$(dirname "$0")/lib.sh"

names=mod_commserver/cs_directives.h
table=mod_commserver/cs_config.c
pages=doc/directives
conf=doc/commserver.conf
for file in $names $table $conf; do
    [ -e "$file" ] || skip "there is no $file"
done

sed -nE 's/^#define[[:space:]]+(CS_[A-Z_]+)[[:space:]]+"(CommServer[A-Za-z]+)".*/\1 \2/p' $names |
    while read -r symbol name; do
        grep -qE "AP_INIT[A-Z0-9_]*\([[:space:]]*$symbol\b|[A-Z]+\($symbol\b" $table ||
            echo "$table: no row for $symbol"
        grep -qE "^#?[[:space:]]*$name\b" $conf || echo "$conf: no entry for $name"
        page=$pages/$name.md
        if [ ! -e "$page" ]; then
            echo "$page: missing"
            continue
        fi
        for field in Syntax Default Context Since See-also Example; do
            grep -qE "^$field:" "$page" || echo "$page: no field '$field:'"
        done
    done | report

known() { # NAME
    grep -qE "\"$1\"" $names
}

for page in "$pages"/*.md; do
    name=$(basename "$page" .md)
    known "$name" || echo "$page: there is no such directive"
done | report

grep -noE '^[[:space:]]*#?[[:space:]]*CommServer[A-Za-z]+' $conf |
    sed -E 's/[#[:space:]]//g' | while IFS=: read -r line name; do
        known "$name" || echo "$conf:$line: there is no directive $name"
    done | report

# Names elsewhere in documents must exist too.
grep -noE '\bCommServer[A-Z][A-Za-z]+' README.md doc/*.md "$pages"/*.md 2>/dev/null |
    while IFS=: read -r file line name; do
        known "$name" || echo "$file:$line: there is no directive $name"
    done | report
# Each number of a configuration starts as UNSET and has a line where it is
# merged: members of apr_int64_t are what directives set.
body() { # NAME: of a function of the table's file
    awk -v name="$1" '
        index($0, name "(") && !/;$/ { on = 1 }
        on { print }
        on && /^}/ { exit }' $table
}

for kind in server dir; do
    create=$(body "cs_config_${kind}_create")
    merge=$(body "cs_config_${kind}_merge")
    awk -v name="cs_config_$kind" '
        $0 == "typedef struct " name " {" { on = 1; next }
        on && /^}/ { exit }
        on && $1 == "apr_int64_t" { sub(/;.*/, "", $2); print $2 }' \
        mod_commserver/cs_config.h | while read -r member; do
        case $create in
        *"->$member "* | *"->$member="*) ;;
        *) echo "$table: cs_config_${kind}_create() does not set '$member'" ;;
        esac
        case $merge in
        *"->$member "*) ;;
        *) echo "$table: cs_config_${kind}_merge() does not merge '$member'" ;;
        esac
    done
done | report
finish
