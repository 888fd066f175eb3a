"""Every metric of the operator, and how loud its logs are.

The names are those of controller-runtime and client-go, so that existing dashboards fit.  No
label ever names a custom resource.
"""

import logging
from functools import partial

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

from modelyard_core import logs

_RECONCILE = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_QUEUE = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 300)


class Telemetry:
    """One set of metrics with a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        counter = partial(Counter, registry=self.registry)
        gauge = partial(Gauge, registry=self.registry)
        histogram = partial(Histogram, registry=self.registry)
        by = ("controller",)
        self.reconcile = counter(
            "modelyard_reconcile", "Reconciles by result.", ("controller", "result")
        )
        self.reconcile_errors = counter("modelyard_reconcile_errors", "Failed reconciles.", by)
        self.reconcile_time = histogram(
            "modelyard_reconcile_time_seconds", "Time of one reconcile.", by, buckets=_RECONCILE
        )
        self.active_workers = gauge("modelyard_active_workers", "Workers that reconcile now.", by)
        self.leader = gauge("modelyard_leader", "1 while this process leads.")
        by = ("name",)
        self.queue_depth = gauge("workqueue_depth", "Keys that wait for a worker.", by)
        self.queue_adds = counter("workqueue_adds", "Keys that were added.", by)
        self.queue_retries = counter("workqueue_retries", "Keys that backed off.", by)
        self.queue_duration = histogram(
            "workqueue_queue_duration_seconds", "Wait for a worker.", by, buckets=_QUEUE
        )
        self.requests = counter(
            "rest_client_requests", "Requests to the Kubernetes API.", ("code", "method")
        )


def configure_logs(level: str) -> None:
    """Send the logs of this process to standard error as JSON."""
    logs.to_standard_error(level)
    # kopf tells of every event it sees; a line per transition is ours to write.
    for name in ("kopf", "aiohttp.access", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)
