"""A client that sends requests at a rate over connections that it keeps, as a process of its own.

    python -m support.steady_load PORT CONNECTIONS SECONDS RATE < request

Prints one JSON line a second: answers, those that were not 200, and the 99th percentile of the
time to an answer in milliseconds.  A rate of 0 sends each request as soon as the answer before it
is there.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import uvloop

TESTS = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Second:
    """What one second saw."""

    answered: int
    failed: int
    p99_ms: float


@contextmanager
def load(port: int, request: bytes, *, seconds: float, rate: float) -> Iterator[Iterator[Second]]:
    """Send requests meanwhile; the seconds come as they pass."""
    command = [
        sys.executable,
        "-m",
        "support.steady_load",
        str(port),
        "16",
        str(seconds),
        str(rate),
    ]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=TESTS, text=False, **pipes) as process:
        process.stdin.write(request)
        process.stdin.close()
        try:
            yield (Second(**json.loads(line)) for line in process.stdout)
        finally:
            process.kill()


class Sender:
    """All connections of this process."""

    def __init__(self, interval: float, request: bytes) -> None:
        self.interval = interval
        self.request = request
        self.times: list[float] = []
        self.failed = 0

    def show(self) -> None:
        times, self.times = sorted(self.times), []
        failed, self.failed = self.failed, 0
        p99 = times[int(0.99 * len(times))] * 1000 if times else 0.0
        line = {"answered": len(times), "failed": failed, "p99_ms": round(p99, 3)}
        print(json.dumps(line), flush=True)


class Connection(asyncio.Protocol):
    """One request after the other."""

    def __init__(self, sender: Sender, begin: float) -> None:
        self.sender = sender
        self.due = begin
        self.sent = 0.0
        self.data = b""

    def connection_made(self, transport) -> None:
        self.transport = transport
        self.loop = asyncio.get_running_loop()
        self.loop.call_at(self.due, self.send)

    def send(self) -> None:
        self.sent = perf_counter()
        self.transport.write(self.sender.request)

    def data_received(self, data: bytes) -> None:
        self.data += data
        head, end, body = self.data.partition(b"\r\n\r\n")
        length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
        if not end or len(body) < int(length):
            return
        self.sender.times.append(perf_counter() - self.sent)
        self.sender.failed += not head.startswith(b"HTTP/1.1 200")
        self.data = b""
        self.due += self.sender.interval
        now = self.loop.time()
        if self.due <= now:
            self.due = now
            self.send()
        else:
            self.loop.call_at(self.due, self.send)

    def connection_lost(self, error) -> None:
        self.sender.failed += 1


async def main(port: int, connections: int, seconds: float, rate: float, request: bytes) -> None:
    loop = asyncio.get_running_loop()
    sender = Sender(connections / rate if rate else 0.0, request)
    begin = loop.time() + 0.1
    for number in range(connections):
        due = begin + number * sender.interval / connections
        await loop.create_connection(
            lambda due=due: Connection(sender, due), host="127.0.0.1", port=port
        )
    while loop.time() < begin + seconds:
        await asyncio.sleep(1)
        sender.show()


if __name__ == "__main__":
    told = [float(word) for word in sys.argv[1:]]
    uvloop.run(main(int(told[0]), int(told[1]), told[2], told[3], sys.stdin.buffer.read()))
