#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# agent.sh - from the server to the local application's socket, through httpd, the
# agent and its inbox on disk.
#
#   agent.sh [messages] [pause in milliseconds]   published one by one: how long
#   agent.sh -b [messages] [window]               queued already: how many a second
backlog=
[ "${1-}" = -b ] && backlog=1 && shift
. "$(dirname "$0")/lib.sh"

port=$(free_port 18087)
modules=$(apxs -q LIBEXECDIR)
mkdir -m 700 "$base/agent"
echo "w0:$(openssl passwd -apr1 bench)" >"$base/users"
(umask 077 && echo bench >"$base/agent/password")
for name in authn_core authn_file auth_basic authz_user; do
    echo "LoadModule ${name}_module $modules/mod_$name.so"
done >"$base/agent.conf"
cat >>"$base/agent.conf" <<CONF
<Location /agent/poll>
    SetHandler commserver-poll
    CommServerDirect on
    AuthType Basic
    AuthName bench
    AuthUserFile $base/users
    Require valid-user
</Location>
CONF
cat >"$base/agent/commclient.conf" <<CONF
[agent]
socket = $base/agent/socket
inbox = $base/agent/inbox.db

[server bench]
url = http://localhost:$port/agent/poll
user = w0
password_file = $base/agent/password
CONF
start_commserver commserver.conf.in "$port" 2 32 EXTRA="Include $base/agent.conf" || exit 1
agent() { # COMMAND...: beside the agent
    no_proxy=localhost spawn "$build/commclient/commclient" run \
        --config "$base/agent/commclient.conf"
    "$@" || {
        cat "$dir/out.log" "$dir/error.log" >&2
        exit 1
    }
}

if [ "$backlog" ]; then
    make -s -C "$build/bench" writer_bench || exit 1
    "$build/bench/writer_bench" -s "$dir/commserver-httpd/queue" -n "${1:-50000}" -c 1 || exit 1
    agent python3 "$here/agent_local.py" rate "$base/agent/socket" "${1:-50000}" "${2:-100}"
else
    agent python3 "$here/agent_local.py" latency "$base/agent/socket" "$port" "${1:-500}" "${2:-20}"
fi
