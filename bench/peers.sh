#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# peers.sh - start each server on loopback, run pushbench's modes against it,
# print one table, stop what was started.
#
#   peers.sh [-p "servers"] [-m "modes"] [-r repeats] [-d seconds] [-q]
#            [-n idle_clients] [-K throughput_clients] [-R latency_rate]
#            [-L latency_waiters] [-o results_file]
#
# servers: commserver commserver-sse nchanW nchanW-sse (W = nginx workers)
#          mosquitto redis redis-aof floor
# modes:   idle latency throughput thr16k drain fanout
#
# BUILD is the build tree (default: the folder above this one). Servers need to
# be installed; -q is a quick run.
servers="commserver nchan1 mosquitto redis floor"
modes="idle latency throughput thr16k drain fanout"
repeats=1 seconds=3 idle_clients=19000 throughput_clients=64
latency_rate=2000 latency_waiters=1000 results=
while getopts p:m:r:n:o:d:K:R:L:qh flag; do
    case $flag in
    p) servers=$OPTARG ;;
    m) modes=$OPTARG ;;
    r) repeats=$OPTARG ;;
    n) idle_clients=$OPTARG ;;
    o) results=$OPTARG ;;
    d) seconds=$OPTARG ;;
    K) throughput_clients=$OPTARG ;;
    R) latency_rate=$OPTARG ;;
    L) latency_waiters=$OPTARG ;;
    q) idle_clients=2000 seconds=1 latency_waiters=200 ;;
    *) sed -n '3,17s/^# \{0,1\}//p' "$0"; exit 64 ;;
    esac
done

. "$(dirname "$0")/lib.sh"
results=${results:-$(mktemp "${TMPDIR:-/tmp}/pushbench-results.XXXXXX")}
: >"$results"
make -s -C "$build/bench" pushbench/pushbench || exit 1
pushbench=$build/bench/pushbench/pushbench

# ---- servers: each sets $pid and the array $args --------------------------------

start_nginx() { # PORT WORKERS NCHAN?
    local modules load=''
    new_dir nginx
    modules=$(nginx -V 2>&1 | grep -o 'modules-path=[^ ]*' | cut -d= -f2)
    : >"$dir/nchan-http.inc"
    : >"$dir/nchan-loc.inc"
    if [ "$3" = 1 ]; then
        load="load_module $modules/ngx_nchan_module.so;"
        fill nchan-http.inc.in "$dir/nchan-http.inc"
        fill nchan-loc.inc.in "$dir/nchan-loc.inc"
    fi
    fill nginx.conf.in "$dir/nginx.conf" DIR="$dir" PORT="$1" WORKERS="$2" \
        LOADMODULE="$load" REUSE=
    spawn nginx -p "$dir" -e "$dir/error.log" -c "$dir/nginx.conf"
    wait_port "$1"
    pid=$spawned
}

start_floor() { # PORT SERVERS THREADS
    if [ ! -e "$base/floor/.libs/mod_floor.so" ]; then
        mkdir -p "$base/floor"
        cp "$here/mod_floor.c" "$base/floor/"
        (cd "$base/floor" && apxs -c mod_floor.c >build.log 2>&1) || return 1
    fi
    start_httpd httpd.conf.in "$1" "$2" "$3" MODFLOOR="$base/floor/.libs/mod_floor.so"
}

server_commserver() { # STREAM?
    local port
    port=$(free_port 18087)
    start_commserver commserver.conf.in "$port" 2 32 EXTRA= || return 1
    args=(--sub "127.0.0.1:$port" --poll-url /comm/poll
        --poll-header 'X-Client: {client}' --poll-header 'Last-Event-ID: {cursor}'
        --pub-url '/comm/publish/bench/{client}' --pub-header 'Content-Type: text/plain')
    if [ "$1" = 1 ]; then
        args+=(--driver sse --cursor sse-id --poll-header 'Accept: text/event-stream')
    else
        args+=(--driver poll --poll-method POST --poll-header 'Prefer: wait=50'
            --cursor 'body:"cursor":"')
    fi
}

server_nchan() { # WORKERS STREAM?
    local port
    port=$(free_port 18081)
    start_nginx "$port" "$1" 1 || return 1
    args=(--sub "127.0.0.1:$port" --poll-url '/sub/{client}' --pub-url '/pub/{client}'
        --pub-header 'Content-Type: text/plain')
    if [ "$2" = 1 ]; then
        args+=(--driver sse --cursor sse-id --poll-header 'Last-Event-ID: {cursor}')
    else
        args+=(--driver poll --cursor lmetag --poll-header 'If-Modified-Since: {lm}'
            --poll-header 'If-None-Match: {etag}')
    fi
}

server_mosquitto() {
    local port
    port=$(free_port 18083)
    new_dir mosquitto
    fill mosquitto.conf.in "$dir/m.conf" PORT="$port"
    spawn mosquitto -c "$dir/m.conf"
    wait_port "$port" || return 1
    pid=$spawned
    args=(--driver mqtt --sub "127.0.0.1:$port")
}

server_redis() { # APPEND-ONLY FILE yes|no
    local port
    port=$(free_port 18084)
    new_dir redis
    fill redis.conf.in "$dir/r.conf" PORT="$port" DIR="$dir" AOF="$1"
    spawn redis-server "$dir/r.conf"
    wait_port "$port" || return 1
    pid=$spawned
    args=(--driver redis --sub "127.0.0.1:$port")
}

start_server() { # NAME
    local workers=${1#nchan}
    case $1 in
    commserver) server_commserver 0 ;;
    commserver-sse) server_commserver 1 ;;
    nchan[1-9]) server_nchan "$workers" 0 ;;
    nchan[1-9]-sse) server_nchan "${workers%-sse}" 1 ;;
    mosquitto) server_mosquitto ;;
    redis) server_redis no ;;
    redis-aof) server_redis yes ;;
    *) echo "unknown server '$1'" >&2; return 1 ;;
    esac
}

# nchan's waiters share one channel. With us each is a client, of a group by itself.
to_everybody() {
    args=("${args[@]/#X-Client: \{client\}/X-Client: waiter\{index\}}")
    args=("${args[@]/#\/comm\/publish\/bench\/\{client\}//comm/publish/bench/-/all}")
}

# ---- runs ----------------------------------------------------------------------

run() { # SERVER MODE
    local server=$1 mode=$2 brief=$((seconds > 2 ? 2 : seconds))
    start_server "$server" || { stop_all; return; }
    case $server/$mode in commserver*/fanout) to_everybody ;; esac
    case $mode in
    idle) set -- idle -n "$idle_clients" --hold 3 --inflight 90 ;; # mosquitto's backlog: 100
    latency) set -- latency -n "$latency_waiters" -r "$latency_rate" -d "$seconds" \
        --warmup 0.5 -p 16 ;;
    throughput) set -- throughput -n "$throughput_clients" -p 16 -W "$throughput_clients" \
        -d "$seconds" --warmup 0.5 --drain 3 ;;
    thr16k) set -- throughput -n "$throughput_clients" -p 16 -d "$brief" --warmup 0.5 \
        --drain 3 -s 16384 ;;
    drain) set -- drain -n 1 --messages 10000 -p 1 ;;
    fanout) set -- fanout -n 1000 --rounds 11 ;;
    *) stop_all; echo "unknown mode '$mode'" >&2; return ;;
    esac
    timeout 120 "$pushbench" "$@" "${args[@]}" --pid "$pid" --label "$server/$mode" \
        >>"$results" 2>>"$base/errors.txt" || {
        echo "failed: $server $mode" >&2
        tail -n 3 "$base/errors.txt" >&2
    }
    stop_all
}

# CPU of static answers, by wrk; the pushbench line gets the requests added.
floor_answers() { # NAME PORT
    local path lua
    echo 'wrk.method="POST"; wrk.body=string.rep("x",200)' >"$base/post.lua"
    for path in 204 200 post200; do
        lua=
        [ $path = post200 ] && lua="-s $base/post.lua"
        # shellcheck disable=SC2086 # two words or none
        "$pushbench" exec --pid "$pid" --label "floor-$1/wrk-$path" -- \
            wrk -t1 -c64 "-d${seconds}s" $lua "http://127.0.0.1:$2/floor${path#post}" \
            >"$base/wrk.out" 2>&1
        grep -q 'Non-2xx' "$base/wrk.out" && { echo "floor $1/$path: errors" >&2; continue; }
        awk '
            /requests in/ { n = $1 }
            /^RESULT/ { line = $0
                for (i = 1; i <= NF; i++) { split($i, kv, "="); v[kv[1]] = kv[2] } }
            END { if (n) printf "%s requests=%d req_s=%.0f srv_cpu_s_per_1m=%.2f " \
                "srv_cpu_pct=%.1f cli_cpu_s_per_1m=%.2f\n", line, n, n / v["elapsed_s"],
                v["srv_cpu_s"] * 1e6 / n, v["srv_cpu_s"] * 100 / v["elapsed_s"],
                v["cli_cpu_s"] * 1e6 / n }' "$base/wrk.out" >>"$results"
    done
    stop_all
}

floor() {
    local port
    port=$(free_port 18082)
    start_nginx "$port" 1 0 && floor_answers nginx "$port"
    port=$(free_port 18085)
    start_floor "$port" 2 64 && floor_answers httpd "$port"
}

for _ in $(seq "$repeats"); do
    for server in $servers; do
        if [ "$server" = floor ]; then
            floor
            continue
        fi
        for mode in $modes; do run "$server" "$mode"; done
    done
done
"$here/table.sh" "$results"
echo "raw lines in $results"
