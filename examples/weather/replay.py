"""Send recorded rows to a model as live traffic, and say truthfully what came back.

An open-loop client without retries: requests leave at a fixed rate, each is counted once, and a
request that got no answer is a failure.  With a label column it also scores the answers, so the
accuracy that clients got can be compared over time.  Standard library only, one file: it runs in a
pod from a ConfigMap, or by hand.

    python replay.py http://rain/v2/models/rain/infer rows.csv.gz --label rain --rate 150 --seconds 60

Every few seconds, and at the end, it prints one JSON line: {"requests", "failed", "bad", "answers":
{"<status> <revision>": n}, "auc": {"<revision>": x}, "p50_ms", "p99_ms", "seconds"}.  `failed` counts
requests without any answer, `bad` answers with a status of 500 and above.
"""

import argparse
import asyncio
import collections
import csv
import gzip
import json
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

CONNECTIONS = 16
ANSWER_LIMIT_SECONDS = 30.0
RECENT_SCORES = 4000
"""Scored answers kept for each revision: enough for an AUC to two digits, bounded for long runs."""


class Tally:
    """What happened so far."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.requests = 0
        self.failed = 0
        self.bad = 0
        self.answers: collections.Counter[str] = collections.Counter()
        self.latencies: collections.deque[float] = collections.deque(maxlen=20_000)
        self.scores: dict[str, collections.deque[tuple[float, bool]]] = collections.defaultdict(
            lambda: collections.deque(maxlen=RECENT_SCORES)
        )
        self.errors: collections.Counter[str] = collections.Counter()

    def line(self) -> str:
        """Return the tally as one JSON line."""
        waits = sorted(self.latencies)

        def quantile(q: float) -> float | None:
            return round(waits[int(q * (len(waits) - 1))] * 1000, 2) if waits else None

        aucs = {revision: auc(list(pairs)) for revision, pairs in self.scores.items()}
        return json.dumps(
            {
                "requests": self.requests,
                "failed": self.failed,
                "bad": self.bad,
                "answers": dict(self.answers),
                "auc": {revision: value for revision, value in aucs.items() if value is not None},
                "p50_ms": quantile(0.5),
                "p99_ms": quantile(0.99),
                "seconds": round(time.monotonic() - self.began, 1),
                "errors": dict(self.errors.most_common(3)),
            }
        )


def auc(pairs: list[tuple[float, bool]]) -> float | None:
    """Return the area under the ROC curve of (score, is positive), or None for one class.

    The Mann-Whitney form: mean rank of the positives, ties sharing their rank.
    """
    positives = sum(label for _, label in pairs)
    negatives = len(pairs) - positives
    if not positives or not negatives:
        return None
    ordered = sorted(pairs)
    rank_sum, start = 0.0, 0
    while start < len(ordered):
        end = start
        while end < len(ordered) and ordered[end][0] == ordered[start][0]:
            end += 1
        rank = (start + end + 1) / 2
        rank_sum += rank * sum(label for _, label in ordered[start:end])
        start = end
    return round((rank_sum - positives * (positives + 1) / 2) / (positives * negatives), 4)


@dataclass(frozen=True, slots=True)
class Request:
    """One request body, and the true labels of its rows if they are known."""

    body: bytes
    truth: tuple[bool, ...]


def read_requests(path: Path, label: str | None, skip: set[str], batch: int) -> list[Request]:
    """Return the requests that send a table's rows in order, `batch` rows in each."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name != label and name not in skip]
    return [
        as_request(rows[start : start + batch], names, label)
        for start in range(0, len(rows), batch)
    ]


def as_request(rows: list[dict[str, str]], names: list[str], label: str | None) -> Request:
    """Return one request in the Open Inference Protocol: a tensor for each column."""
    inputs = [
        {
            "name": name,
            "shape": [len(rows), 1],
            "datatype": "FP32",
            "data": [float(row[name]) for row in rows],
        }
        for name in names
    ]
    truth = tuple(float(row[label]) > 0 for row in rows) if label else ()
    return Request(json.dumps({"inputs": inputs}).encode(), truth)


def scores_of(body: bytes) -> list[float]:
    """Return each row's probability of the last class; nothing if the answer has none."""
    for output in json.loads(body).get("outputs", []):
        if output["name"] == "probabilities":
            classes = output["shape"][-1]
            return [float(value) for value in output["data"][classes - 1 :: classes]]
    return []


class Client:
    """A fixed rate of requests over a few kept-alive connections."""

    def __init__(self, url: str, requests: list[Request], rate: float) -> None:
        parts = urlsplit(url)
        self.host = parts.hostname or "localhost"
        self.port = parts.port or 80
        self.head = (
            f"POST {parts.path} HTTP/1.1\r\nhost: {self.host}\r\ncontent-type: application/json\r\n"
        )
        self.requests = requests
        self.rate = rate
        self.tally = Tally()
        self.sent = 0
        self.stopping = asyncio.Event()

    async def run(self, seconds: float | None) -> None:
        """Send until the time is up, or for ever."""
        workers = [asyncio.create_task(self._worker(index)) for index in range(CONNECTIONS)]
        reporter = asyncio.create_task(self._report())
        try:
            await asyncio.wait_for(self.stopping.wait(), seconds)
        except TimeoutError:
            self.stopping.set()
        await asyncio.gather(*workers)
        reporter.cancel()

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(3)
            print(self.tally.line(), flush=True)

    async def _worker(self, index: int) -> None:
        gap = CONNECTIONS / self.rate
        due = time.monotonic() + index / self.rate
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while not self.stopping.is_set():
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due = max(due + gap, time.monotonic() - 1)
            request = self.requests[self.sent % len(self.requests)]
            self.sent += 1
            connection = await self._one(connection, request)
        if connection:
            connection[1].close()

    async def _one(
        self,
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None,
        request: Request,
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """Send one request, count what comes back, return the connection if it can go on."""
        self.tally.requests += 1
        try:
            async with asyncio.timeout(ANSWER_LIMIT_SECONDS):
                if connection is None or connection[0].at_eof():
                    connection = await asyncio.open_connection(self.host, self.port)
                reader, writer = connection
                began = time.monotonic()
                head = f"{self.head}content-length: {len(request.body)}\r\n\r\n"
                writer.write(head.encode() + request.body)
                status, headers, answer = await read_answer(reader)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
            self.tally.failed += 1
            self.tally.errors[f"{type(error).__name__}: {error}"[:80]] += 1
            if connection:
                connection[1].close()
            return None
        self.tally.latencies.append(time.monotonic() - began)
        self._count(status, headers.get("x-modelyard-revision", "-"), answer, request.truth)
        if headers.get("connection") == "close":
            writer.close()
            return None
        return connection

    def _count(self, status: int, revision: str, answer: bytes, truth: tuple[bool, ...]) -> None:
        self.tally.answers[f"{status} {revision}"] += 1
        self.tally.bad += status >= 500
        if status == 200 and truth:
            self.tally.scores[revision].extend(zip(scores_of(answer), truth, strict=True))


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of one HTTP/1.1 answer with a content length.

    Raises:
        ValueError: not such an answer.
    """
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    status = int(head[0].split(" ")[1])
    pairs = (line.split(":", 1) for line in head[1:] if ":" in line)
    headers = {name.strip().lower(): value.strip() for name, value in pairs}
    return status, headers, await reader.readexactly(int(headers.get("content-length", "0")))


async def main() -> None:
    """Read the command line and send."""
    parser = argparse.ArgumentParser(description="Send recorded rows to a model as live traffic.")
    parser.add_argument("url")
    parser.add_argument("rows", type=Path)
    parser.add_argument("--label", help="column with the truth; not sent")
    parser.add_argument("--skip", action="append", default=[], help="column not to send")
    parser.add_argument("--batch", type=int, default=1, help="rows in a request")
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second")
    parser.add_argument("--seconds", type=float, help="stop after this long (default: on SIGTERM)")
    arguments = parser.parse_args()
    requests = read_requests(arguments.rows, arguments.label, set(arguments.skip), arguments.batch)
    client = Client(arguments.url, requests, arguments.rate)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, client.stopping.set)
    await client.run(arguments.seconds)
    print(client.tally.line(), flush=True)
    sys.exit(0)


if __name__ == "__main__":
    asyncio.run(main())
