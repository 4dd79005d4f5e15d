#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# units.sh - systemd itself finds nothing wrong with the units.
set -u

command -v systemd-analyze >/dev/null || {
    echo "skipped: systemd-analyze is not there"
    exit 77
}
place=$(mktemp -d) || exit 1
trap 'rm -rf "$place"' EXIT
status=0
for kind in user system; do
    mkdir "$place/$kind"
    cp "$top_srcdir/commclient/systemd/$kind/commclient.socket" "$place/$kind"
    # The program is not installed yet.
    sed -E 's|^ExecStart=[^ ]+|ExecStart=/bin/true|' \
        "$top_builddir/commclient/systemd/$kind/commclient.service" \
        >"$place/$kind/commclient.service"
    grep -q '@bindir@' "$place/$kind/commclient.service" && status=1
    said=$(systemd-analyze verify --man=no "$place/$kind/commclient.service" \
        "$place/$kind/commclient.socket" 2>&1) || status=1
    # What other packages' units are blamed for is not ours.
    ours=$(printf '%s\n' "$said" | grep -E 'commclient' )
    [ -z "$ours" ] || { printf '%s\n' "$ours"; status=1; }
    [ "$status" = 0 ] || printf '%s\n' "$said"
done
exit $status
