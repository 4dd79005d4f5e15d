#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# text.sh - what house style says about the text of the sources.
. "$(dirname "$0")/lib.sh"

# shellcheck disable=SC2086 # lists of files without blanks in their names
files=$(c_files $source_folders)

look() { # REGEX WHAT FILES
    regex=$1 what=$2
    shift 2
    grep -nHE "$regex" "$@" /dev/null | sed -E "s|^([^:]*:[0-9]+):.*|\1: $what|" | report
}

# shellcheck disable=SC2086
{
    look '^(.*[^:"'\''*])?//($|[^"]*$)' 'a // comment' $files
    look '	' 'a tab' $files
    look '[[:space:]]$' 'blanks at the end of a line' $files
    look '\b(TODO|FIXME|XXX|HACK)\b' 'open work belongs to the tracker' $files
    look '\b(u?sleep|nanosleep)[[:space:]]*\(' 'a test waits for an event, it does not sleep' \
        $(c_files tests)
}

for file in $files; do
    head -n 1 "$file" | grep -qxF '/* SPDX-License-Identifier: Apache-2.0' ||
        echo "$file:1: the first line names the license"
    # Characters, not bytes.
    LC_ALL=C.UTF-8 awk -v file="$file" 'length($0) > 90 {
        print file ":" NR ": " length($0) " columns, at most 90" }' "$file"
done | report

for file in $(c_files mod_commserver commclient | grep '\.h$'); do
    guard=$(basename "$file" .h | tr 'a-z' 'A-Z')_H
    grep -qxF "#ifndef $guard" "$file" || echo "$file: the guard is not $guard"
done | report
finish
