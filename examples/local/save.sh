#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# save.sh - a program for exec: keeps each message as a file.
#
#   [app orders]
#   servers = main
#   exec = /path/to/save.sh /var/spool/orders
#
# The agent runs it for each message, and again when it ends with anything but
# 0. So it may run twice for one message, and does no harm then: the name of the
# file is that of the message, and the file appears as a whole.
set -e
test -d "$1" || { echo "there is no directory '$1'" >&2; exit 1; }
cat > "$1/.new-$COMM_ID"
printf '%s from %s at %s, attempt %s\n' "$COMM_ID" "${COMM_FROM:-unknown}" \
    "${COMM_TIME:-unknown}" "$COMM_ATTEMPT" >> "$1/.log"
mv "$1/.new-$COMM_ID" "$1/$COMM_ID"
