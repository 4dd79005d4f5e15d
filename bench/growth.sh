#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# growth.sh - how cost grows with known clients, held polls, queued messages and
# children: processor time a message at full load, and latency at a fixed rate.
#
#   growth.sh [-r repeats] [-d seconds] [-m "known held queued children"] [-q]
#             [-o folder]
#
# -q is a quick run with fewer and smaller steps. Prints a table of medians; the
# folder (the current one unless told) gets growth.txt, a line for each run, and
# growth.svg, a plot.
repeats=3 seconds=3 what="known held queued children" folder=. quick=
while getopts r:d:m:o:qh flag; do
    case $flag in
    r) repeats=$OPTARG ;;
    d) seconds=$OPTARG ;;
    m) what=$OPTARG ;;
    o) folder=$OPTARG ;;
    q) quick=1 repeats=1 seconds=1 ;;
    *) sed -n '3,13s/^# \{0,1\}//p' "$0"; exit 64 ;;
    esac
done

. "$(dirname "$0")/lib.sh"
make -s -C "$build/bench" pushbench/pushbench writer_bench || exit 1
pushbench=$build/bench/pushbench/pushbench
points=$folder/growth.txt
: >"$points" || exit 1

steps() { # WHAT
    case $1$quick in
    known) echo "10 1000 10000 100000" ;;
    held) echo "0 1000 10000 34000" ;; # two children of 20,000 files, unevenly filled
    queued) echo "1 1000 100000 1000000" ;;
    known1 | queued1) echo "10 10000" ;;
    held1) echo "0 2000" ;;
    *) echo "1 2 3 4" ;;
    esac
}

start() { # CHILDREN
    port=$(free_port 18087)
    start_commserver commserver.conf.in "$port" "$1" 32 \
        EXTRA="CommServerSegmentSize 768M\nCommServerMaxClients 300000" || exit 1
    args=(--sub "127.0.0.1:$port" --driver poll --poll-method POST --poll-url /comm/poll
        --poll-header 'X-Client: {client}' --poll-header 'Prefer: wait=50'
        --poll-header 'Last-Event-ID: {cursor}' --cursor 'body:"cursor":"'
        --pub-url '/comm/publish/bench/{client}' --pub-header 'Content-Type: text/plain')
}

queue() { # MESSAGES CLIENTS
    "$build/bench/writer_bench" -s "$dir/commserver-httpd/queue" -n "$1" -c "$2" \
        >"$base/queue.txt" || exit 1
}

hold() { # POLLS
    [ "$1" -gt 0 ] || return
    "$pushbench" idle -n "$1" --hold 3600 --inflight 90 "${args[@]}" --pid "$pid" --label held \
        >"$base/held.txt" 2>&1 &
    started+=("$!")
    local i waiting
    for i in $(seq 600); do
        waiting=$(curl -s "http://127.0.0.1:$port/comm/status" |
            sed -nE 's/.*"waiting":([0-9]+).*/\1/p')
        [ "${waiting:-0}" -ge "$1" ] && break
        sleep 0.1
    done
    [ "${waiting:-0}" -ge "$1" ] || {
        echo "only ${waiting:-0} of $1 polls are held" >&2
        tail -n 3 "$base/held.txt" >&2
        exit 1
    }
    sleep 2.5 # until they have given back what they do not use
}

value() { # NAME, of the last result
    sed -nE "s/.*[ ]$1=([0-9.]+).*/\\1/p" "$base/result.txt"
}

measure() { # WHAT STEP
    local cpu
    "$pushbench" throughput -n 64 -p 16 -W 64 -d "$seconds" --warmup 0.5 --drain 3 \
        "${args[@]}" --pid "$pid" --label x >"$base/result.txt" || exit 1
    cpu=$(value srv_cpu_s_per_1m)
    "$pushbench" latency -n 200 -r 2000 -d "$seconds" --warmup 1 -p 16 "${args[@]}" \
        --pid "$pid" --label x >"$base/result.txt" || exit 1
    echo "$1 $2 $cpu $(value lat_p50_us) $(value lat_p99_us)" | tee -a "$points"
}

one() { # WHAT STEP
    case $1 in
    children) start "$2" ;;
    *) start 2 ;;
    esac
    case $1 in
    known) queue "$2" "$2" ;;
    held) hold "$2" ;;
    queued) queue "$2" 100 ;;
    esac
    measure "$1" "$2"
    stop_all
}

for _ in $(seq "$repeats"); do
    for which in $what; do
        for step in $(steps "$which"); do one "$which" "$step"; done
    done
done
python3 "$here/growth_plot.py" "$points" "$folder/growth.svg"
