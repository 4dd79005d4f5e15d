#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# waiting.sh - 10,000 clients wait on 64 threads in 2 children, plain and TLS.
#
#   waiting.sh [clients]
. "$(dirname "$0")/lib.sh"

clients=${1:-10000}
make -s -C "$build/bench" waiting || exit 1

measure() { # EXTRA OPTION...
    local extra=$1 port
    shift
    port=$(free_port 18087)
    start_commserver commserver.conf.in "$port" 2 32 EXTRA="$extra" || exit 1
    echo "a page" >"$dir/htdocs/index.html"
    "$build/bench/waiting" --server "127.0.0.1:$port" --pid "$pid" -n "$clients" "$@" ||
        { tail -n 5 "$dir/error.log" >&2; status=1; }
    stop_all
}

status=0
measure ''
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
    -subj /CN=localhost -keyout "$base/key.pem" -out "$base/cert.pem" 2>/dev/null
printf '%s\n' "LoadModule socache_shmcb_module $(apxs -q LIBEXECDIR)/mod_socache_shmcb.so" \
    "LoadModule ssl_module $(apxs -q LIBEXECDIR)/mod_ssl.so" \
    "SSLEngine on" "SSLCertificateFile $base/cert.pem" \
    "SSLCertificateKeyFile $base/key.pem" >"$base/tls.conf"
measure "Include $base/tls.conf" --tls
exit $status
