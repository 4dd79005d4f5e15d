#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# help.sh - each option that a program takes is in its --help, and the other
# way round.
. "$(dirname "$0")/lib.sh"

for file in $(grep -lE '\{ "[a-z-]+", (no|required|optional)_argument' \
    commclient/*.c commclient/ctl/*.c mod_commserver/writer/*.c 2>/dev/null); do
    taken=$(grep -oE '\{ "[a-z-]+", (no|required|optional)_argument' "$file" |
        sed -E 's/.*"([a-z-]+)".*/\1/')
    # Lines of help: "  -c, --config FILE  ..." or "  --app APP  ...".
    told=$(grep -oE ' {2,}(-[a-zA-Z], )?--[a-z-]+' "$file" | sed -E 's/.*--//')
    for name in $taken; do
        printf '%s\n' "$told" | grep -qxF "$name" || echo "$file: --$name is not in the help"
    done
    for name in $told; do
        printf '%s\n' "$taken" | grep -qxF "$name" || echo "$file: there is no option --$name"
    done
done | report
finish
