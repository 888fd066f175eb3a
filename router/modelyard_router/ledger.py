"""Envoy's numbers → exact, monotone counters per Envoy process.  Pure.

Envoy forgets the numbers of a cluster that is removed and starts at zero when it comes again.  The
ledger remembers the last reading of every cluster; when a number falls or a cluster is gone, that
last reading moves into a base that every later answer includes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from modelyard_core.routes import ClusterCounters, add
from modelyard_router.admin import SERVER_FAULTS, RawCounts

NEVER_FALLS = ("total", "completed")
"""The others are differences of numbers that Envoy does not read at one instant."""
ANSWERED = ("1xx", "2xx", "3xx", "4xx", "5xx")
UNSENT = ("pending_overflow", "pending_failure_eject", "cancelled", "cx_none_healthy")
"""Requests that never reached an upstream connection; Envoy's `total` leaves them out."""
GRPC_FAULTS = tuple(f"grpc.{status}" for status in SERVER_FAULTS)


@dataclass(frozen=True, slots=True)
class Ledger:
    """What is known about one Envoy process."""

    boot: str = ""
    base: Mapping[str, ClusterCounters] = field(default_factory=dict)
    """Counts of cluster lives that are over."""
    seen: Mapping[str, ClusterCounters] = field(default_factory=dict)
    """The last reading of each present life."""

    def observe(self, boot: str, reading: Mapping[str, ClusterCounters]) -> "Ledger":
        """Return the ledger after one reading."""
        if boot != self.boot:
            return Ledger(boot, {}, dict(reading))
        over = {
            name: last
            for name, last in self.seen.items()
            if name not in reading or _has_fallen(last, reading[name])
        }
        base = {**self.base}
        for name, last in over.items():
            base[name] = add(base.get(name, ClusterCounters()), replace(last, active=0))
        return Ledger(boot, base, dict(reading))

    def totals(self) -> dict[str, ClusterCounters]:
        """Return every cluster's counts since the process began."""
        names = {**self.base, **self.seen}
        nothing = ClusterCounters()
        return {
            name: add(self.base.get(name, nothing), self.seen.get(name, nothing)) for name in names
        }


def counters(raw: RawCounts) -> ClusterCounters:
    """Return Envoy's numbers of one cluster in our terms.

    `total - completed - active` are the requests whose client gave up: Envoy has no other number
    for them.  So `total` also counts what never found a connection, once that is decided.

    A gRPC call that fails is an HTTP 200 with a status in its trailers.  What Envoy answers in place
    of a pod is counted both ways, so the larger of the two numbers is taken.
    """
    number = raw.values.get
    overflow = number("pending_overflow", 0)
    answered = sum(number(status, 0) for status in ANSWERED)
    faults = sum(number(status, 0) for status in GRPC_FAULTS)
    errors = max(number("5xx", 0), faults)
    return ClusterCounters(
        total=number("total", 0) + sum(number(name, 0) for name in UNSENT),
        completed=number("completed", 0),
        active=number("active", 0),
        success=max(0, answered - errors),
        errors=max(0, errors - overflow),
        overflow=overflow,
        timeouts=number("timeout", 0),
        resets=number("rx_reset", 0),
        buckets=raw.buckets,
    )


def is_busy(raw: RawCounts) -> bool:
    """Return whether a request is in a cluster, or waits for a connection to it."""
    return bool(raw.values.get("active", 0) or raw.values.get("pending_active", 0))


def _has_fallen(last: ClusterCounters, present: ClusterCounters) -> bool:
    return any(getattr(present, name) < getattr(last, name) for name in NEVER_FALLS)
