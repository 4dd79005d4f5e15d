#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A local application that answers by the agent, and puts off what it cannot deal with yet.

    settle.py SOCKET APP

Each message is answered to the client in its "answer_to", if it has one. It
is acknowledged when the agent has the answer on the disk: killed in between,
this program may answer twice, but never not at all. One that says "later" is
put off for a second, once.
"""
import json
import socket
import sys


def answer(message):
    """The line that settles a message, or leads to that."""
    data = message["data"] if isinstance(message["data"], dict) else {}
    if message["attempt"] == 1 and "later" in data:
        return {"nack": message["id"], "delay": 1}
    if "answer_to" not in data:
        return {"ack": message["id"]}
    return {"publish": {"to": data["answer_to"], "data": {"done": data.get("order")},
                        "ref": message["id"]}}


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
        print(text, end="", flush=True)
        if "message" in line:
            say(answer(line["message"]))
        elif "spooled" in line:
            say({"ack": line["spooled"]["ref"]})
        elif "gap" in line:
            say({"ack": line["gap"]["id"]})
        elif "ref" in line.get("error", {}):
            error = line["error"]
            say({"nack" if error["code"] in ("full", "storage") else "reject": error["ref"]})


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
