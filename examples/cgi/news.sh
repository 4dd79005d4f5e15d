#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# news.sh - a CGI program in shell that tells a client where news is.
#
#   GET /cgi-bin/news?some+text     writes the news file and sends alice a cue
#
# httpd exports where the queues are (COMMSERVER_SEGMENT, COMMSERVER_REALM),
# so commsend needs no more than whom to tell.
set -u

text=$(printf '%s' "${QUERY_STRING:-nothing+new}" | tr + ' ' | tr -cd 'A-Za-z0-9 .,_-')
printf '{"headline":"%s"}\n' "$text" > "$NEWS_FILE"

if id=$(printf '{"url":"/news/latest.json"}' |
        commsend --app news --to alice --type application/json 2>&1)
then
    printf 'Status: 202 Accepted\r\nContent-Type: text/plain\r\n\r\nqueued %s\n' "$id"
else
    printf 'Status: 503 Service Unavailable\r\nContent-Type: text/plain\r\n\r\n%s\n' "$id"
fi
