#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# help.sh - each option that a program takes is in its --help, and the other
# way round.
. "$(dirname "$0")/lib.sh"

# For getopt_long, or in the table of a verb, which --help is added to.
option='(\{ "[a-z-]+", (no|required|optional)_argument|CTL_(TEXT|FLAG|TAKE)\("[a-z-]+")'

for file in $(grep -lE "$option" commclient/*.c commclient/ctl/*.c \
    mod_commserver/writer/*.c 2>/dev/null | grep -vx commclient/ctl/ctl_options.c); do
    taken=$(grep -oE "$option" "$file" | sed -E 's/[^"]*"([a-z-]+)".*/\1/')
    grep -q 'ctl_options_read' "$file" && taken="$taken
help"
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
