# SPDX-License-Identifier: Apache-2.0
# lib.sh - what the lint tests share; sourced, not run.
#
# A lint test looks at the sources, says each finding as "file:line: what" and
# ends with 1 if there were any, 0 if none, 77 if it cannot look.

top=${top_srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}
cd "$top" || exit 1
findings=$(mktemp) || exit 1
trap 'rm -f "$findings"' EXIT

# Read findings from stdin, one a line.
report() {
    cat >>"$findings"
}

finish() {
    if [ -s "$findings" ]; then
        sort -u "$findings"
        exit 1
    fi
    exit 0
}

skip() {
    echo "skipped: $*"
    exit 77
}

# C sources and headers below the given folders, generated ones left out.
c_files() {
    find "$@" -name 'build*' -prune -o -name '*.[ch]' -print 2>/dev/null | sort
}

source_folders="mod_commserver commclient examples bench tests"
