"""The load generator: built once, run on its own core, its answers judged."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hack import caches, go_programs
from hack.terminal import Failure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bench.serving.requests import Dialect, Question

SOURCE = caches.REPOSITORY / "bench" / "load"
BUILD_SECONDS = 300
PATIENCE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Job:
    """What is sent, and how."""

    dialect: Dialect
    questions: Sequence[Question]
    connections: int
    streams: int = 0
    """Calls at once on a gRPC connection; 0 is HTTP/1.1."""
    rate: float = 0
    """Requests a second, whatever the answers do; 0 sends the next one after each answer."""
    polls: bool = False
    """Whether the generator waits for answers without sleeping.  To be woken up takes a while, too,
    and with one connection that would be counted as the server's time."""

    @property
    def path(self) -> str:
        """The gRPC method; nothing for HTTP, whose requests name their path."""
        return getattr(self.dialect, "path", "")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the generator measured; times are microseconds."""

    requests: int
    """Answered in the measured time."""
    total: int
    """Answered while warming up, too."""
    per_second: float
    p50: float
    p99: float
    slowest: float
    unfinished: int
    busy: float
    """Share of its core that the generator itself needed: near 1 it may be what is measured."""


def build() -> Path:
    """Return the generator's binary, built if its source has changed.

    Raises:
        Failure: Go is missing, or the build failed.
    """
    key = caches.tree_key(SOURCE, ["."])
    target = caches.cache_root() / "bench" / f"load-{key}"
    return go_programs.built(target, SOURCE, ".", timeout_seconds=BUILD_SECONDS)


def described(job: Job, port: int, warmup: float, seconds: float) -> dict[str, object]:
    """Return a job in the generator's words."""
    requests = [job.dialect.request(question) for question in job.questions]
    counter = getattr(job.dialect, "counter", None)
    return {
        "address": f"127.0.0.1:{port}",
        "protocol": "grpc" if job.streams else "http",
        "path": job.path,
        "connections": job.connections,
        "streams": job.streams,
        "rate": job.rate,
        "polls": job.polls,
        "warmup": warmup,
        "seconds": seconds,
        "requests": [base64.b64encode(request).decode() for request in requests],
        "counter": counter(requests[0]) if counter else 0,
    }


@dataclass(frozen=True, slots=True)
class Generator:
    """The binary and the core that it runs on."""

    binary: Path
    core: int
    first: bool = False
    """Whether it comes before all others on its core, and the server on its own, where that is
    allowed: then their waiting for the core is not taken for that of the requests."""

    def start(
        self, job: Job, port: int, seconds: float, warmup: float = 0.3
    ) -> subprocess.Popen[str]:
        """Begin a run; `finish` returns what it found."""
        process = subprocess.Popen(
            [self.binary],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "GODEBUG": "asyncpreemptoff=1"},
            preexec_fn=self._settle,  # noqa: PLW1509 - no threads here
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(described(job, port, warmup, seconds)))
        process.stdin.close()
        process.stdin = None  # `communicate` would flush it again
        return process

    def _settle(self) -> None:
        os.sched_setaffinity(0, {self.core})
        if self.first:
            with contextlib.suppress(PermissionError):
                os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))

    def run(self, job: Job, port: int, seconds: float, warmup: float = 0.3) -> Outcome:
        """Run a job to its end.

        Raises:
            Failure: there were errors, wrong answers, or none at all.
        """
        return finish(job, self.start(job, port, seconds, warmup))


def finish(job: Job, process: subprocess.Popen[str]) -> Outcome:
    """Wait for a run's end, judge every distinct answer, and return what it measured.

    Raises:
        Failure: there were errors, wrong answers, or none at all.
    """
    try:
        out, errors = process.communicate(timeout=PATIENCE_SECONDS)
    except subprocess.TimeoutExpired as error:
        process.kill()
        raise Failure("the load generator did not end") from error
    if process.returncode != 0:
        raise Failure(f"the load generator failed: {errors.strip()[-300:]}")
    return outcome(job, json.loads(out))


def outcome(job: Job, told: dict[str, object]) -> Outcome:
    """Return what the generator reports, once its answers are judged.

    Raises:
        Failure: there were errors, wrong answers, or none at all.
    """
    errors, answers, latency = told["errors"], told["answers"], told["latency"]
    assert isinstance(errors, dict)
    assert isinstance(answers, list)
    assert isinstance(latency, dict)
    requests, seconds = int(str(told["requests"])), float(str(told["seconds"]))
    if errors:
        raise Failure("; ".join(f"{count} times: {text}" for text, count in errors.items()))
    if not requests:
        raise Failure("not one request was answered in time")
    judge(job, answers)
    return Outcome(
        requests=requests,
        total=int(str(told["total"])),
        per_second=requests / seconds,
        p50=latency["p50"],
        p99=latency["p99"],
        slowest=latency["max"],
        unfinished=int(str(told["unfinished"])),
        busy=float(str(told["busy"])),
    )


def judge(job: Job, answers: list[list[dict[str, object]] | None]) -> None:
    """Look at every distinct answer of every question.

    Raises:
        Failure: one is wrong.
    """
    for question, distinct in zip(job.questions, answers, strict=True):
        for answer in distinct or []:
            try:
                job.dialect.judge(question, base64.b64decode(str(answer["body"])))
            except (ValueError, KeyError, TypeError) as error:
                raise Failure(f"{answer['count']} wrong answers: {error!r}") from error
