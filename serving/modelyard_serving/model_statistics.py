"""How often the model was asked and where the time went: the protocol's statistics extension.

Everything is added up on the event loop's thread, and only what is measured is there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from modelyard_serving import clock

NANOSECONDS = 1e9
MILLISECONDS = 1e3


class Stage(IntEnum):
    """What one request spends its time on, in this order."""

    QUEUE = 0
    """Waiting for a thread, or for others to share a run with."""
    INPUT = 1
    """From the bytes to the model's arrays."""
    INFER = 2
    """The model's run."""
    OUTPUT = 3
    """From the model's arrays to the answer."""


NAMES = ("queue", "compute_input", "compute_infer", "compute_output")


class Stopwatch:
    """The time of one request, stage by stage, in seconds."""

    __slots__ = ("_mark", "begin", "spent")

    def __init__(self) -> None:
        self.begin = self._mark = clock.perf_counter()
        self.spent = [0.0] * len(Stage)

    def lap(self, stage: Stage) -> None:
        """Count the time since the last lap to a stage."""
        now = clock.perf_counter()
        self.spent[stage] += now - self._mark
        self._mark = now

    def total(self) -> float:
        """Return the seconds since the beginning."""
        return clock.perf_counter() - self.begin


@dataclass(slots=True)
class Statistics:
    """Counts and seconds since the process started."""

    requests: int = 0
    rows: int = 0
    executions: int = 0
    failures: int = 0
    seconds: float = 0.0
    failed_seconds: float = 0.0
    spent: list[float] = field(default_factory=lambda: [0.0] * len(Stage))
    last: float | None = None
    """When the last answer was ready, on the clock of `perf_counter`."""

    def answered(self, requests: int, rows: int, seconds: float, spent: Sequence[float]) -> None:
        """Count one run of the model that answered one request, or several together.

        `seconds` and `spent`, which is by stage, are sums over these requests.
        """
        self.requests += requests
        self.rows += rows
        self.executions += 1
        self.seconds += seconds
        for stage, duration in enumerate(spent):
            self.spent[stage] += duration
        self.last = clock.perf_counter()

    def answered_together(self, starts: Sequence[float], rows: int, times: Sequence[float]) -> None:
        """Count one run for requests that began at `starts` and went through its stages together.

        `times` are the moments at which the stages after the queue begin, and the end.
        """
        size, began = len(starts), sum(starts)
        read, run, write, end = times
        waited = size * read - began
        spent = (waited, size * (run - read), size * (write - run), size * (end - write))
        self.answered(size, rows, size * end - began, spent)

    def failed(self, seconds: float) -> None:
        """Count one request that got an error."""
        self.failures += 1
        self.failed_seconds += seconds

    def document(self, name: str, version: str) -> dict[str, Any]:
        """Return the answer of `GET /v2/models/{name}/stats`."""
        stages = {
            stage: _duration(self.requests, seconds)
            for stage, seconds in zip(NAMES, self.spent, strict=True)
        }
        model = {
            "name": name,
            "version": version,
            "last_inference": self._last_milliseconds(),
            "inference_count": self.rows,
            "execution_count": self.executions,
            "inference_stats": {
                "success": _duration(self.requests, self.seconds),
                "fail": _duration(self.failures, self.failed_seconds),
                **stages,
            },
        }
        return {"model_stats": [model]}

    def _last_milliseconds(self) -> int:
        """Return when the last answer was ready, since 1970; 0 for never."""
        if self.last is None:
            return 0
        ago = clock.perf_counter() - self.last
        return round((clock.now().timestamp() - ago) * MILLISECONDS)


def _duration(count: int, seconds: float) -> dict[str, int]:
    return {"count": count, "ns": round(seconds * NANOSECONDS)}
