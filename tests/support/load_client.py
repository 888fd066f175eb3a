"""A client under load, run in a pod: sends requests at a rate, prints what it saw every second.

    load_client.py URL RATE WORKERS < body

Only the standard library, so that any image with Python runs it.  Every answer below 500 is good;
no answer is a failure of its own kind.
"""

import collections
import http.client
import json
import sys
import threading
import time
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 15


class Seen:
    """What all workers saw so far."""

    def __init__(self):
        self.lock = threading.Lock()
        self.good = collections.Counter()
        self.errors = collections.Counter()
        self.broken = collections.Counter()

    def add(self, kind, name):
        with self.lock:
            getattr(self, kind)[name] += 1

    def show(self):
        with self.lock:
            kinds = {kind: dict(getattr(self, kind)) for kind in ("good", "errors", "broken")}
        print(json.dumps(kinds), flush=True)


def work(seen, url, body, interval, offset):
    parts = urlsplit(url)
    connection, due = None, time.monotonic() + offset
    while True:
        due += interval
        time.sleep(max(0.0, due - time.monotonic()))
        try:
            if connection is None:
                connection = http.client.HTTPConnection(
                    parts.hostname, parts.port or 80, timeout=TIMEOUT_SECONDS
                )
            connection.request("POST", parts.path, body, {"content-type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            revision = answer.headers.get("x-modelyard-revision", "none")
            seen.add("good" if answer.status < 500 else "errors", revision)
            if answer.headers.get("connection") == "close":
                connection = None
        except (OSError, http.client.HTTPException) as error:
            seen.add("broken", type(error).__name__)
            connection = None


def run(work):
    """Let workers ask, evenly spread over time; each asks as `work` does, for good."""
    where, rate, workers = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
    seen, body = Seen(), sys.stdin.buffer.read()
    interval = workers / rate
    for number in range(workers):
        arguments = (seen, where, body, interval, number * interval / workers)
        threading.Thread(target=work, args=arguments, daemon=True).start()
    while True:
        time.sleep(1)
        seen.show()


if __name__ == "__main__":
    run(work)
