"""Every metric of the server, in one table."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate

from modelyard_core.roles import Role
from modelyard_serving import exposition, process_metrics
from modelyard_serving.exposition import Family, single
from modelyard_serving.request_counts import BUCKETS, RequestCounts


class InFlight:
    """How many of something are being done."""

    def __init__(self) -> None:
        self.count = 0

    def inc(self) -> None:
        """Count one that begins."""
        self.count += 1

    def dec(self) -> None:
        """Count one that ended."""
        self.count -= 1

    @contextmanager
    def track_inprogress(self) -> Iterator[None]:
        """Count one for as long as the block lasts."""
        self.inc()
        try:
            yield
        finally:
            self.dec()


class Metrics:
    """The metrics of one process; written on the event loop's thread only."""

    def __init__(self, model: str, version: str, digest: str, revision: str) -> None:
        self._who = {"model": model, "version": version}
        self._what = {**self._who, "digest": digest, "revision": revision}
        self.counts = RequestCounts()
        self.in_flight = InFlight()
        self.is_ready: Callable[[], bool] = lambda: False
        self._rejected = Counter[str]()
        self._rotations = Counter[tuple[str, str]]()

    def answered(self, role: Role, code: int, seconds: float) -> None:
        """Count one inference request and its answer."""
        self.counts.answered(role, code, seconds)

    def answered_together(self, role: Role, starts: Sequence[float], end: float, rows: int) -> None:
        """Count successes that ended at one moment, and their rows."""
        self.counts.answered_together(role, starts, end, rows)

    def rows(self, role: Role, rows: int) -> None:
        """Count the rows of one answered request."""
        self.counts.role(role).rows += rows

    def rejected(self, reason: str) -> None:
        """Count one request that was turned away."""
        self._rejected[reason] += 1

    def rotated(self, what: str, outcome: str) -> None:
        """Count one reading of mounted files."""
        self._rotations[what, outcome] += 1

    def render(self) -> bytes:
        """Return all metrics in Prometheus' text form."""
        return exposition.render(
            (
                *process_metrics.collect(),
                *self._requests(),
                *self._events(),
                single(
                    "modelyard_inflight_requests",
                    "gauge",
                    "Inference requests that are being answered.",
                    self.in_flight.count,
                ),
                single(
                    "modelyard_ready",
                    "gauge",
                    "1 when a real inference has passed and the process is not draining.",
                    self.is_ready(),
                ),
                single(
                    "modelyard_model_info",
                    "gauge",
                    "What this process serves; always 1.",
                    1,
                    self._what,
                ),
            )
        )

    def _requests(self) -> tuple[Family, ...]:
        requests = Family(
            "modelyard_requests_total", "counter", "Inference requests answered, by status code."
        )
        duration = Family(
            "modelyard_request_duration_seconds",
            "histogram",
            "Time from a request's headers to its whole answer.",
        )
        rows = Family("modelyard_rows_total", "counter", "Rows answered by the model.")
        for role, mine in self.counts.roles.items():
            who = {**self._who, "role": role.value}
            for code, count in mine.answered.items():
                requests.add(count, {**who, "code": str(code)})
            reached = list(accumulate(mine.cells))
            for least, count in zip((*map(str, BUCKETS), "+Inf"), reached, strict=True):
                duration.add(count, {**who, "le": least}, "_bucket")
            duration.add(reached[-1], who, "_count")
            duration.add(sum(mine.seconds.values()), who, "_sum")
            rows.add(mine.rows, who)
        return requests, duration, rows

    def _events(self) -> tuple[Family, ...]:
        rejected = Family("modelyard_rejected_total", "counter", "Requests turned away, by reason.")
        for reason, count in self._rejected.items():
            rejected.add(count, {"reason": reason})
        rotations = Family(
            "modelyard_rotations_total",
            "counter",
            "Readings of a mounted certificate (tls) or of keys (keys), by outcome.",
        )
        for (what, outcome), count in self._rotations.items():
            rotations.add(count, {"what": what, "outcome": outcome})
        return rejected, rotations
