#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A local application that takes a message as a cue to fetch.

    fetch.py SOCKET APP SERVER

The message only says where something new is ({"url": "/news/latest.json"});
the content comes from the application's own server, for example
http://localhost:8470. The message is acknowledged when that has worked, and
given again by the agent a little later when it has not.
"""
import json
import socket
import sys
import urllib.request

direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def fetch(server, message):
    """What the message points to, as text."""
    data = message["data"]
    path = data["url"] if isinstance(data, dict) else str(data)
    if not path.startswith("/"):
        raise ValueError("not a path on the server: %r" % path)
    with direct.open(server + path, timeout=10) as answer:
        return answer.read().decode("utf-8").strip()


def main():
    path, app, server = sys.argv[1:4]
    agent = socket.socket(socket.AF_UNIX)
    agent.connect(path)
    lines = agent.makefile("rw", encoding="utf-8", newline="\n")

    def say(line):
        lines.write(json.dumps(line) + "\n")
        lines.flush()

    say({"subscribe": app})
    for text in lines:
        message = json.loads(text).get("message")
        if not message:
            continue
        try:
            print("%s: fetched %s" % (app, fetch(server, message)), flush=True)
            say({"ack": message["id"]})
        except (OSError, ValueError, KeyError) as error:
            print("%s: cannot fetch: %s" % (app, error), file=sys.stderr, flush=True)
            say({"nack": message["id"], "delay": 5})


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
