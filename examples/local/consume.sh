#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# consume.sh - a local application in shell, with socat and jq.
#
#   consume.sh SOCKET APP
#
# Prints each message and acknowledges it. Only then does the agent forget it:
# killed in between, this program gets the same message again when it is back.
set -eu
folder=$(mktemp -d)
mkfifo "$folder/to" "$folder/from"

# Two lines for each message or gap: its id, and what is to be shown.
show='
    (.message // empty | .id, "\(.data | tojson) (from \(.from // "?"))"),
    (.gap // empty | .id, "messages are missing: \(.count // "unknown how many")")'

consume() { # APP; says to the agent by 3, hears it by 0
    rm -rf "$folder" # both sides have it open
    printf '{"subscribe":"%s"}\n' "$1" >&3
    jq --unbuffered -r "$show" |
        while read -r id && IFS= read -r text; do
            printf '%s: %s\n' "$1" "$text"
            printf '{"ack":"%s"}\n' "$id" >&3
        done
}

# A signal ends socat, and with it all that reads from it.
socat "UNIX-CONNECT:$1" - <"$folder/to" >"$folder/from" &
agent=$!
trap 'kill $agent 2>/dev/null || :; rm -rf "$folder"' EXIT
trap 'exit 1' INT TERM
consume "$2" 3>"$folder/to" <"$folder/from" &
wait
