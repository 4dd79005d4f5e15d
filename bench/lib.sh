# SPDX-License-Identifier: Apache-2.0
# lib.sh - what the scripts here share; sourced. Sets $build (the build tree)
# and $base (a temporary directory); everything started with spawn ends with
# the script.
set -u

here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "${BUILD:-$here/..}" && pwd) || exit 1
if grep -qs '^#define CS_DEVELOPER' "$build/config.h"; then
    echo "'$build' is a developer build, which audits after each step: measure another" >&2
    exit 1
fi
PATH=$PATH:/usr/sbin:/usr/local/sbin:/sbin
base=$(mktemp -d "${TMPDIR:-/tmp}/pushbench.XXXXXX") || exit 1
chmod 755 "$base"
ulimit -n 1000000 2>/dev/null || ulimit -n "$(ulimit -Hn)"
started=()

# ---- processes ---------------------------------------------------------------

spawn() { # COMMAND...: in the background; its pid in $spawned
    setsid "$@" >"$dir/out.log" 2>&1 &
    spawned=$!
    started+=("$spawned")
}

is_open() { (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

wait_port() { # PORT: then a moment more, or PSS before is too low
    local i
    for i in $(seq 200); do
        is_open "$1" && { sleep 0.5; return; }
        sleep 0.05
    done
    echo "port $1 did not open; $dir/out.log says:" >&2
    cat "$dir"/*.log >&2
    return 1
}

free_port() {
    local port
    for port in $(seq "$1" $(($1 + 50))); do
        is_open "$port" || { echo "$port"; return; }
    done
}

descendants() { # PID
    local child
    for child in $(cat /proc/"$1"/task/*/children 2>/dev/null); do
        echo "$child"
        descendants "$child"
    done
}

stop_all() { # what was started here and its children, by pid
    local all=() pid alive i
    for pid in "${started[@]:+${started[@]}}"; do
        # shellcheck disable=SC2207 # numbers
        all+=("$pid" $(descendants "$pid"))
        kill -TERM "$pid" 2>/dev/null
    done
    for i in $(seq 200); do
        alive=
        for pid in "${all[@]:+${all[@]}}"; do
            kill -0 "$pid" 2>/dev/null && alive="$alive $pid"
        done
        [ -n "$alive" ] || break
        sleep 0.05
    done
    for pid in $alive; do kill -KILL "$pid" 2>/dev/null; done
    wait
    started=()
}

finish() {
    stop_all
    rm -rf "$base"
}
trap finish EXIT
trap 'exit 130' INT TERM

# ---- servers -------------------------------------------------------------------

new_dir() {
    dir=$base/$1
    rm -rf "$dir"
    mkdir -p "$dir/htdocs"
}

fill() { # TEMPLATE FILE NAME=VALUE...
    local from=$here/conf/$1 to=$2 pair
    shift 2
    cp "$from" "$to"
    for pair; do sed -i "s|@${pair%%=*}@|${pair#*=}|g" "$to"; done
}

start_httpd() { # CONF PORT SERVERS THREADS NAME=VALUE...
    local conf=$1 port=$2 children=$3 threads=$4
    shift 4
    new_dir httpd
    fill "$conf" "$dir/httpd.conf" DIR="$dir" PORT="$port" SERVERS="$children" \
        THREADS="$threads" WORKERS=$((children * threads)) MODDIR="$(apxs -q LIBEXECDIR)" "$@"
    spawn "$(command -v apache2 || command -v httpd)" -d "$dir" -f "$dir/httpd.conf" -DFOREGROUND
    wait_port "$port" && sleep 1 # until all threads run
    pid=$spawned
}

start_commserver() { # CONF PORT CHILDREN THREADS NAME=VALUE...
    local conf=$1 port=$2 children=$3 threads=$4
    shift 4
    start_httpd "$conf" "$port" "$children" "$threads" \
        MODULE="$build/mod_commserver/.libs/mod_commserver.so" "$@"
}
