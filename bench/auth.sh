#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# auth.sh - what passwords cost: publishers with Basic authentication by the file
# provider, {SHA}, MD5 and bcrypt, with and without mod_authn_socache, beside plain ones.
#
#   auth.sh [-r repeats] [-d seconds]
#
# Prints server CPU seconds per million messages (one publish, one long poll).
repeats=3 seconds=2
while getopts r:d:h flag; do
    case $flag in
    r) repeats=$OPTARG ;;
    d) seconds=$OPTARG ;;
    *) sed -n '3,8s/^# \{0,1\}//p' "$0"; exit 64 ;;
    esac
done

. "$(dirname "$0")/lib.sh"
make -s -C "$build/bench" pushbench/pushbench || exit 1
modules=$(apxs -q LIBEXECDIR)
results=$base/results
echo "bench:$(openssl passwd -apr1 bench)" >"$base/md5"
echo "bench:{SHA}$(printf bench | openssl dgst -sha1 -binary | base64)" >"$base/sha"
htpasswd -bcB -C 5 "$base/bcrypt" bench bench 2>/dev/null || exit 1

configure() { # HASH CACHE?
    local name provider=file
    for name in authn_core authn_file auth_basic authz_user; do
        echo "LoadModule ${name}_module $modules/mod_$name.so"
    done
    [ "$2" ] && {
        provider="socache file"
        echo "LoadModule socache_shmcb_module $modules/mod_socache_shmcb.so"
        echo "LoadModule authn_socache_module $modules/mod_authn_socache.so"
        echo "AuthnCacheEnable"
    }
    cat <<CONF
<Location /private/publish>
    SetHandler commserver-publish
    CommServerDirect on
    AuthType Basic
    AuthName bench
    AuthBasicProvider $provider
    AuthUserFile $base/$1
    ${2:+AuthnCacheProvideFor file}
    Require valid-user
</Location>
CONF
}

run() { # NAME URL EXTRA
    local port
    port=$(free_port 18087)
    start_commserver commserver.conf.in "$port" 2 32 EXTRA="$3" || exit 1
    "$build/bench/pushbench/pushbench" throughput -n 64 -p 16 -W 64 -d "$seconds" \
        --warmup 0.5 --drain 3 --sub "127.0.0.1:$port" --driver poll --poll-method POST \
        --poll-url /comm/poll --poll-header 'X-Client: {client}' \
        --poll-header 'Prefer: wait=50' --poll-header 'Last-Event-ID: {cursor}' \
        --cursor 'body:"cursor":"' --pub-url "$2/{client}" \
        --pub-header 'Content-Type: text/plain' \
        --pub-header "Authorization: Basic $(printf bench:bench | base64)" \
        --pid "$pid" --label "$1" >>"$results" || exit 1
    stop_all
}

for _ in $(seq "$repeats"); do
    run plain /comm/publish/bench ''
    for hash in sha md5 bcrypt; do
        for cache in '' socache; do
            configure $hash "$cache" >"$base/auth.conf"
            run "$hash${cache:+-$cache}" /private/publish/bench "Include $base/auth.conf"
        done
    done
done
"$here/table.sh" "$results"
