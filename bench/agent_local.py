#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A local application that measures.

    agent_local.py latency SOCKET PORT MESSAGES PAUSE_MS
        publishes messages one by one, and times each until the socket has it
    agent_local.py rate SOCKET MESSAGES WINDOW
        takes that many, which are queued on the server, as fast as they come
"""
import http.client
import json
import socket
import sys
import time


def connect(path, deadline):
    while True:
        try:
            agent = socket.socket(socket.AF_UNIX)
            agent.connect(path)
            return agent.makefile("rwb", buffering=0)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def subscribe(path, line):
    agent = connect(path, time.monotonic() + 15)
    agent.readline()
    agent.write(line)
    agent.readline()
    return agent


def latency(path, port, count, pause):
    agent = subscribe(path, b'{"subscribe":"bench"}\n')
    server = http.client.HTTPConnection("127.0.0.1", port)
    took = []
    for i in range(count + 10):
        start = time.perf_counter()
        server.request("POST", "/comm/publish/bench/w0", "message %d" % i,
                       {"Content-Type": "text/plain"})
        answer = server.getresponse()
        answer.read()
        assert answer.status == 201, answer.status
        message = json.loads(agent.readline())["message"]
        took.append(time.perf_counter() - start)
        assert message["data"] == "message %d" % i, message
        agent.write(b'{"ack":"%s"}\n' % message["id"].encode())
        assert "acked" in json.loads(agent.readline())
        time.sleep(pause / 1000)
    took = sorted(t * 1e6 for t in took[10:])  # the first ones find cold caches
    print("RESULT mode=agent n=%d p50_us=%.0f p90_us=%.0f p99_us=%.0f max_us=%.0f"
          % (count, took[len(took) // 2], took[len(took) * 9 // 10],
             took[len(took) * 99 // 100], took[-1]))


MESSAGE, ACKED, ID_LENGTH = b'{"message":{"id":"', b'{"acked"', 22


def rate(path, count, window):
    """From the first message that comes until the last is acknowledged."""
    agent = subscribe(path, b'{"subscribe":"bench","window":%d}\n' % window)
    began, acked, rest, ids = None, 0, b"", set()
    while acked < count:
        data = agent.read(1 << 18)
        assert data, "the agent has ended"
        began = began or time.perf_counter()
        lines = (rest + data).split(b"\n")
        rest = lines.pop()
        answers = []
        for line in lines:
            if line.startswith(MESSAGE):
                name = line[len(MESSAGE):len(MESSAGE) + ID_LENGTH]
                ids.add(name)
                answers.append(b'{"ack":"%s"}\n' % name)
            elif line.startswith(ACKED):
                acked += 1
        if answers:
            write_all(agent, b"".join(answers))
    took = time.perf_counter() - began
    assert len(ids) == count, len(ids)
    print("RESULT mode=agent_rate n=%d window=%d msg_s=%.0f" % (count, window, count / took))


def write_all(agent, data):
    while data:
        data = data[agent.write(data):]


def main():
    if sys.argv[1] == "rate":
        rate(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        latency(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))


if __name__ == "__main__":
    main()
