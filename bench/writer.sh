#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# writer.sh - publishing through the writer: into queues of which nobody reads,
# and to 64 clients that have event streams.
#
#   writer.sh [messages]
. "$(dirname "$0")/lib.sh"

messages=${1:-500000}
make -s -C "$build/bench" writer_bench || exit 1
status=0
measure() { # OPTION...: with a server of its own
    "$build/bench/writer_bench" -s "$dir/commserver-httpd/queue" -n "$messages" "$@" || status=1
    stop_all
}
start() {
    port=$(free_port 18087)
    start_commserver commserver.conf.in "$port" 2 32 EXTRA= || exit 1
}

start
measure
start
measure -c 64 -S "127.0.0.1:$port" -p "$pid"
exit $status
