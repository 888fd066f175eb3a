"""Every metric of the server, in one table."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from modelyard_core.roles import Role

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
BUCKETS = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip


class Metrics:
    """The metrics of one process, in a registry of their own."""

    def __init__(self, model: str, version: str, digest: str, revision: str) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        labels = ("model", "version", "role")
        self._who = (model, version)
        self._requests = Counter(
            "modelyard_requests",
            "Inference requests answered, by status code.",
            (*labels, "code"),
            registry=self.registry,
        )
        self._duration = Histogram(
            "modelyard_request_duration_seconds",
            "Time from a request's headers to its whole answer.",
            labels,
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._rows = Counter(
            "modelyard_rows", "Rows answered by the model.", labels, registry=self.registry
        )
        self._rejected = Counter(
            "modelyard_rejected",
            "Requests turned away, by reason.",
            ("reason",),
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
        self._requests.labels(*self._who, role.value, str(code)).inc()
        self._duration.labels(*self._who, role.value).observe(seconds)

    def rows(self, role: Role, rows: int) -> None:
        """Count the rows of one answered request."""
        self._rows.labels(*self._who, role.value).inc(rows)

    def rejected(self, reason: str) -> None:
        """Count one request that was turned away."""
        self._rejected.labels(reason).inc()

    def render(self) -> bytes:
        """Return all metrics in Prometheus' text form."""
        return generate_latest(self.registry)
