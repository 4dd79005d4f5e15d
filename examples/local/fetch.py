#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A local application that takes a message as a cue to fetch.

    fetch.py SOCKET APP SERVER

The message only says where something new is ({"url": "/news/latest.json"});
the content comes from the application's own server, for example
http://localhost:8470. The message is acknowledged when that has worked, or
never will; until then the next one waits.
"""
import json
import socket
import sys
import time
import urllib.request

direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def fetch(server, message):
    """What the message points to, as text."""
    data = message["data"]
    path = str(data["url"] if isinstance(data, dict) else data)
    if not path.startswith("/"):
        raise ValueError("not a path on the server: %r" % path)
    with direct.open(server + path, timeout=10) as answer:
        return answer.read().decode("utf-8").strip()


def show(app, server, message):
    """Print what is fetched. What will never be there is given up."""
    while True:
        try:
            print("%s: fetched %s" % (app, fetch(server, message)), flush=True)
            return
        except (OSError, ValueError, KeyError) as error:
            print("%s: cannot fetch: %s" % (app, error), file=sys.stderr, flush=True)
            if not isinstance(error, OSError) or getattr(error, "code", 500) < 500:
                return
            time.sleep(5)


def main():
    path, app, server = sys.argv[1:4]
    agent = socket.socket(socket.AF_UNIX)
    agent.connect(path)
    lines = agent.makefile("r", encoding="utf-8", newline="\n")

    # Not by the file: writing to it would throw away what it has read ahead.
    def say(line):
        agent.sendall(json.dumps(line).encode() + b"\n")

    say({"subscribe": app})
    for text in lines:
        line = json.loads(text)
        if "gap" in line:
            print("%s: cues are missing" % app, flush=True)
            say({"ack": line["gap"]["id"]})
        elif "message" in line:
            show(app, server, line["message"])
            say({"ack": line["message"]["id"]})


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
