#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# lengths.sh - functions up to 80 lines and 4 levels deep, files up to 1000.
. "$(dirname "$0")/lib.sh"

# shellcheck disable=SC2086 # lists of files without blanks in their names
files=$(c_files $source_folders)

for file in $files; do
    awk 'END { if (NR > 1000) print FILENAME ": " NR " lines, at most 1000" }' "$file"
done | report

# House style puts the brace of a function alone in the first column. Strings,
# characters and comments are taken out first, so that braces count.
for file in $files; do
    sed -E -e 's/\\["'\'']//g' -e 's/"[^"]*"//g' -e "s/'[^']*'//g" \
        -e 's@/\*([^*]|\*[^/])*\*/@@g' "$file" |
        awk -v file="$file" '
            /^\{/ && !inside { inside = 1; start = NR; depth = 0; deepest = 0 }
            inside {
                n = split($0, c, "")
                for (i = 1; i <= n; i++) {
                    if (c[i] == "{" && ++depth > deepest) { deepest = depth; at = NR }
                    if (c[i] == "}") depth--
                }
                if (/^\}/) {
                    if (NR - start + 1 > 80)
                        print file ":" start ": a function of " NR - start + 1 " lines, at most 80"
                    if (deepest > 5)
                        print file ":" at ": nested " deepest - 1 " deep, at most 4"
                    inside = 0
                }
            }'
done | report
finish
