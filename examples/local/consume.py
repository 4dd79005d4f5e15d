#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A local application that consumes its messages.

    consume.py SOCKET APP

Connects to the agent's socket, subscribes, prints each message and
acknowledges it. Only then does the agent forget it: killed in between, this
program gets the same message again when it is back. The same goes for a gap,
which tells of messages that are missing.
"""
import json
import socket
import sys


def main():
    path, app = sys.argv[1:3]
    agent = socket.socket(socket.AF_UNIX)
    agent.connect(path)
    lines = agent.makefile("r", encoding="utf-8", newline="\n")

    # Not by the file: writing to it would throw away what it has read ahead.
    def say(line):
        agent.sendall(json.dumps(line).encode() + b"\n")

    say({"subscribe": app})
    for text in lines:
        line = json.loads(text)
        if "message" in line:
            message = line["message"]
            print("%s: %s (from %s)" % (app, json.dumps(message["data"], ensure_ascii=False),
                                        message.get("from", "?")), flush=True)
            say({"ack": message["id"]})
        elif "gap" in line:
            gap = line["gap"]
            print("%s: messages are missing: %s" % (app, gap.get("count", "unknown how many")),
                  flush=True)
            say({"ack": gap["id"]})
        elif "error" in line:
            print("%s: %s" % (app, line["error"].get("text")), file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
