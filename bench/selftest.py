#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Check pushbench's own counters: a small long-poll/SSE server that loses,
repeats, swaps, damages and misroutes known messages, in oddly cut chunks."""
import asyncio, os, subprocess, sys

PB = os.environ.get("PUSHBENCH", "./pushbench")


class Srv:
    def __init__(self, sse, keepalive, faults):
        self.sse, self.ka, self.faults = sse, keepalive, faults
        self.q, self.ev, self.n = {}, {}, {}
        self.c = dict(lost=0, dup=0, reord=0, corrupt=0)
        self.hold = {}

    def put(self, cl, m):
        q = self.q.setdefault(cl, [])
        i = self.n[cl] = self.n.get(cl, 0) + 1
        if not self.faults:
            q.append(m)
        elif i % 20 == 3:
            self.c["lost"] += 1
        elif i % 20 == 7:
            q += [m, m]; self.c["dup"] += 1
        elif i % 20 == 11:
            self.hold[cl] = m  # delivered after the next one
        elif i % 20 == 12:
            q += [m, self.hold.pop(cl)]; self.c["reord"] += 1
        elif i % 20 == 17:
            q.append(m[:-1] + b"?"); self.c["corrupt"] += 1; self.c["lost"] += 1
        else:
            q.append(m)
        self.ev.setdefault(cl, asyncio.Event()).set()

    async def chunks(self, w, body, cut):
        for i in range(0, len(body), cut):
            p = body[i:i + cut]
            w.write(b"%x\r\n" % len(p) + p + b"\r\n")
            if i % 5 == 0:
                await w.drain()

    async def client(self, r, w):
        try:
            while True:
                line = await r.readline()
                if not line:
                    break
                meth, url, _ = line.split()
                h = {}
                while True:
                    x = (await r.readline()).strip()
                    if not x:
                        break
                    k, v = x.split(b":", 1)
                    h[k.lower()] = v.strip()
                body = await r.readexactly(int(h.get(b"content-length", 0)))
                cl = url.split(b"/")[2]
                if url.startswith(b"/pub/"):
                    self.put(cl, body)
                    w.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n" + (b"" if self.ka else b"Connection: close\r\n") + b"\r\nok")
                else:
                    pos = int(h.get(b"x-cursor", b"0"))
                    ev = self.ev.setdefault(cl, asyncio.Event())
                    q = self.q.setdefault(cl, [])
                    if self.sse:
                        w.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
                    while True:
                        if pos >= len(q):
                            ev.clear()
                            try:
                                await asyncio.wait_for(ev.wait(), 0.3)
                            except asyncio.TimeoutError:
                                pass
                        new = q[pos:]
                        pos = len(q)
                        if self.sse:
                            if not new:
                                await self.chunks(w, b": ping\n\n", 3)
                            for i, m in enumerate(new):
                                await self.chunks(w, b"id: %d\nevent: m\ndata: %s\n\n" % (pos - len(new) + i + 1, m), 37)
                            await w.drain()
                            continue
                        if not new:
                            w.write(b"HTTP/1.1 204 No Content\r\n" + (b"" if self.ka else b"Connection: close\r\n") + b"\r\n")
                        else:
                            w.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Cursor: %d\r\n" % pos + (b"" if self.ka else b"Connection: close\r\n") + b"\r\n")
                            await self.chunks(w, b"[" + b",".join(b'{"d":"%s"}' % m for m in new) + b"]", 41)
                            w.write(b"0\r\n\r\n")
                        break
                await w.drain()
                if not self.ka:
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            w.close()


async def one(mode, sse, ka, faults):
    s = Srv(sse, ka, faults)
    srv = await asyncio.start_server(s.client, "127.0.0.1", 0)
    port = srv.sockets[0].getsockname()[1]
    cmd = [PB, mode, "--sub", "127.0.0.1:%d" % port, "-n", "10", "-p", "3", "-d", "1", "--warmup", "0.1", "--drain", "2", "--stall-ms", "100", "-W", "40", "-r", "800",
           "--messages", "200", "--poll-url", "/sub/{client}", "--pub-url", "/pub/{client}", "--cursor", "header:X-Cursor", "--poll-header", "X-Cursor: {cursor}", "--pid", str(os.getpid())]
    if sse:
        cmd += ["--driver", "sse"]
    if not ka:
        cmd += ["--no-keepalive"]
    p = await asyncio.create_subprocess_exec(*cmd, stdout=subprocess.PIPE)
    out = (await p.communicate())[0].decode()
    srv.close()
    kv = dict(f.split("=", 1) for f in out.split()[1:] if "=" in f)
    held = len(s.hold)
    want = dict(s.c, lost=s.c["lost"] + held, misrouted=0, stale=0, puberr=0, pollerr=0)
    bad = {k: (int(kv.get(k, -1)), v) for k, v in want.items() if int(kv.get(k, -1)) != v}
    print("%-10s sse=%d keepalive=%d faults=%d sent=%s delivered=%s %s: %s" % (mode, sse, ka, faults, kv.get("sent"), kv.get("delivered"), {k: v for k, v in want.items() if v}, "ok" if not bad and int(kv["sent"]) > 100 else "WRONG (got, want) %s" % bad))
    return not bad


async def main():
    ok = True
    for mode in ("throughput", "latency", "drain"):
        for sse in (0, 1):
            for faults in (0, 1):
                ok &= await one(mode, sse, 1, faults)
    ok &= await one("throughput", 0, 0, 1)
    return 0 if ok else 1


sys.exit(asyncio.run(main()))
