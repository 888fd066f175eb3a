"""Every metric of the server, in one table."""

from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Metric,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from modelyard_core.roles import Role
from modelyard_serving.request_counts import BUCKETS, RequestCounts, RoleCounts

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
LABELS = ("model", "version", "role")


class Metrics:
    """The metrics of one process, in a registry of their own."""

    def __init__(self, model: str, version: str, digest: str, revision: str) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.counts = RequestCounts()
        self.registry.register(_Requests(self.counts, model, version))
        self._rejected = Counter(
            "modelyard_rejected",
            "Requests turned away, by reason.",
            ("reason",),
            registry=self.registry,
        )
        self._rotations = Counter(
            "modelyard_rotations",
            "Readings of a mounted certificate (tls) or of keys (keys), by outcome.",
            ("what", "outcome"),
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "modelyard_inflight_requests",
            "Inference requests that are being answered.",
            registry=self.registry,
        )
        self.ready = Gauge(
            "modelyard_ready",
            "1 when a real inference has passed and the process is not draining.",
            registry=self.registry,
        )
        Gauge(
            "modelyard_model_info",
            "What this process serves; always 1.",
            ("model", "version", "digest", "revision"),
            registry=self.registry,
        ).labels(model, version, digest, revision).set(1)

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
        self._rejected.labels(reason).inc()

    def rotated(self, what: str, outcome: str) -> None:
        """Count one reading of mounted files."""
        self._rotations.labels(what, outcome).inc()

    def render(self) -> bytes:
        """Return all metrics in Prometheus' text form."""
        return generate_latest(self.registry)


class _Requests(Collector):
    """Shows the counts; a counter of the client library costs several microseconds a request."""

    def __init__(self, counts: RequestCounts, model: str, version: str) -> None:
        self._counts = counts
        self._who = (model, version)

    def describe(self) -> Iterator[Metric]:
        return self.collect()

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "modelyard_requests",
            "Inference requests answered, by status code.",
            labels=(*LABELS, "code"),
        )
        duration = HistogramMetricFamily(
            "modelyard_request_duration_seconds",
            "Time from a request's headers to its whole answer.",
            labels=LABELS,
        )
        rows = CounterMetricFamily("modelyard_rows", "Rows answered by the model.", labels=LABELS)
        for role, mine in self._counts.roles.items():
            who = (*self._who, role.value)
            for code, count in mine.answered.items():
                requests.add_metric((*who, str(code)), count)
            duration.add_metric(who, _buckets(mine), sum(mine.seconds.values()))
            rows.add_metric(who, mine.rows)
        yield from (requests, duration, rows)


def _buckets(mine: RoleCounts) -> list[tuple[str, float]]:
    ends = [*map(str, BUCKETS), "+Inf"]
    return list(zip(ends, accumulate(map(float, mine.cells)), strict=True))
