#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# layers.sh - a lower layer never includes an upper one.
. "$(dirname "$0")/lib.sh"

includes() { # FILES: "file:line:header" for each include
    [ $# = 0 ] || grep -nHE '^[[:space:]]*#[[:space:]]*include' "$@" |
        sed -E 's/^([^:]*:[0-9]*):.*include[[:space:]]*[<"]([^>"]*)[>"].*/\1:\2/'
}

refuse() { # REGEX WHY FILES: no include may match
    regex=$1 why=$2
    shift 2
    includes "$@" | awk -F: -v regex="$regex" -v why="$why" \
        '$3 ~ regex { print $1 ":" $2 ": includes " $3 ": " why }' | report
}

httpd='(^|/)(httpd|http_[a-z]+|ap_[a-z_]+|util_[a-z]+|mpm_common|scoreboard|mod_[a-z]+)\.h$'
client_libraries='^(curl/|json|event|sqlite3|ini\.h)'
queue=$(c_files mod_commserver/queue)
writer=$(c_files mod_commserver/writer)
module=$(find mod_commserver -maxdepth 1 -name '*.[ch]')
client=$(c_files commclient)
library=$(c_files commclient/lib)

# shellcheck disable=SC2086 # lists of files without blanks in their names
{
    refuse "$httpd" "the queue core knows no httpd" $queue
    refuse "$client_libraries" "the queue core is libc and APR" $queue
    refuse '(^|/)(cs_[a-bd-z]|cs_c[a-np-z]|csw_|cc_|commserver_writer)' \
        "the queue core is the lowest layer" $queue

    refuse "$httpd" "the writer knows no httpd" $writer
    refuse '(^|/)(cs_[a-bd-z]|cs_c[a-np-z]|cc_|mod_commserver)' "the writer stands on csq alone" $writer
    refuse '(^|/)csq_' "csq.h is the only header of the queue core for others" $writer $module
    refuse "$client_libraries" "the module is httpd, APR and csq" $writer $module
    refuse '(^|/)(cc_|csw_|commserver_writer)' "not a layer below the module" $module

    refuse '(^|/)(apr_|apu_|ap_|httpd\.h|http_)' "the agent has no APR and no httpd" $client
    refuse '(^|/)(cs_|csq|csw_|mod_commserver|commserver_writer)' \
        "the agent shares no code with the server" $client
    refuse "$client_libraries" "libcommclient is libc alone" $library
    includes $library | awk -F: '$3 ~ /^cc_/ &&
        $3 !~ /^cc_(base64|compat|json|memory|name|paths|utf8)\.h$/ {
        print $1 ":" $2 ": includes " $3 ": of the agent libcommclient has libccbase alone" }' |
        report

}

# The two headers for libc programs.
for header in mod_commserver/writer/commserver_writer.h commclient/lib/commclient.h; do
    [ -e "$header" ] || continue
    includes "$header" | awk -F: '$3 !~ /^(std[a-z]+|sys\/types|time|errno)\.h$/ {
        print $1 ":" $2 ": includes " $3 ": an installed header needs libc only" }' | report
done
finish
