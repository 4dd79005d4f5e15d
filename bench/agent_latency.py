#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Publish messages one by one and time each until the local socket has it.

    agent_latency.py SOCKET PORT MESSAGES PAUSE_MS
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


def main():
    path, port, count, pause = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    agent = connect(path, time.monotonic() + 15)
    agent.readline()
    agent.write(b'{"subscribe":"bench"}\n')
    agent.readline()
    server = http.client.HTTPConnection("127.0.0.1", port)
    took = []
    for i in range(count + 10):
        start = time.perf_counter()
        server.request("POST", "/comm/publish/bench/alice", "message %d" % i,
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


if __name__ == "__main__":
    main()
