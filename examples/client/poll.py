#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A client without an agent: prints messages and gaps, each as a line of JSON.
User and password of the host stand in ~/.netrc; how far it came is kept in STATE."""
import argparse, base64, http.client, json, netrc, os, random, sys, time
from urllib.error import HTTPError
from urllib.parse import urlsplit

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("url", metavar="URL", type=urlsplit, help="?device=NAME in it")
parser.add_argument("state", metavar="STATE", help="a file for this user and device alone")
parser.add_argument("--urgency", default="very-low", help="what is less urgent stays queued")
parser.add_argument("--stream", action="store_const", const="text/event-stream")
options = parser.parse_args()
login = ":".join(netrc.netrc().authenticators(options.url.hostname)[::2]).encode()
begin = {"cursor": "", "receipts": []}
state = json.load(open(options.state)) if os.path.exists(options.state) else begin

def take(cursor, messages=[], gap=None, **_):  # the server hears of it when it is in STATE
    for one in ([] if gap is None else [{"gap": gap}]) + messages:
        print(json.dumps(one), flush=True)
    state.update(cursor=cursor, receipts=[m["id"] for m in messages if m.get("receipt")])
    with open(options.state + ".new", "w") as file:
        json.dump(state, file)
    os.replace(options.state + ".new", options.state)

def post(**fields):  # acknowledges and reports what STATE says
    fields.update({"Authorization": "Basic " + base64.b64encode(login).decode(),
                   "Urgency": options.urgency, "Last-Event-ID": state["cursor"],
                   "Comm-Acknowledged": ", ".join(state["receipts"])})
    fields = {name: value for name, value in fields.items() if value}
    kind = getattr(http.client, options.url.scheme.upper() + "Connection")
    connection = kind(options.url.netloc, timeout=70)
    connection.request("POST", options.url.path + "?max=100&" + options.url.query, None, fields)
    answer = connection.getresponse()
    if answer.status in (200, 204):
        return answer
    raise HTTPError("", answer.status, answer.read().decode(), answer.headers, None)

def read(stream, event, retry=3000.0):  # acknowledges beside it; returns when to come again
    for name, _, value in (line.decode().rstrip("\n").partition(": ") for line in stream):
        event[name] = value
        if not name + value and "data" in event:
            data = json.loads(event["data"])
            gap = data if event.get("event") == "commserver:gap" else None
            take(event.get("id", state["cursor"]), [data] if "app" in data else [], gap)
            post(Prefer="return=minimal")
            event = {}
        retry = float(event.get("retry", retry))
    return retry / 1000

failures = 0
while True:
    try:
        answer = post(Prefer="wait=55", Accept=options.stream)
        pause = float(answer.getheader("Retry-After", 0))
        if options.stream:
            pause = read(answer, {})
        elif answer.status == 200:
            take(**json.load(answer))
        else:
            take(answer.getheader("Comm-Cursor"))
        failures = 0
    except (OSError, ValueError, http.client.HTTPException) as error:
        pause, failures = random.uniform(0.5, 1) * min(60, 2**failures), failures + 1
        if isinstance(error, HTTPError):  # 409: another client is this device
            pause = float(error.headers.get("Retry-After", 60 if error.code < 500 else pause))
        print("%s; again in %.1f s" % (error, pause), file=sys.stderr, flush=True)
    time.sleep(pause)
