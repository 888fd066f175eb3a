"""The router's table, and what the router answers.

Weights are parts of 1000, so that order and total stay constant along a ramp and a hashed client
that reached the canary once stays with it while the share grows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime

TOTAL_WEIGHT = 1000
ROUTES_FILE = "routes.json"
LATENCY_EDGES_MS = (
    1.0,
    2.5,
    5.0,
    10.0,
    25.0,
    50.0,
    75.0,
    100.0,
    150.0,
    250.0,
    500.0,
    1000.0,
    2500.0,
    5000.0,
    10000.0,
    30000.0,
)
"""Upper bounds of the router's latency buckets; a latency threshold must be one of them."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One revision that gets a share of the live traffic."""

    revision: str
    host: str
    weight: int


@dataclass(frozen=True, slots=True)
class Mirror:
    """A copy of the live traffic whose answers are thrown away."""

    revision: str
    host: str
    percent: int


@dataclass(frozen=True, slots=True)
class RouteTable:
    """What the operator wants.  `version` grows with every change."""

    version: int
    stable: Arm
    canary: Arm | None = None
    mirror: Mirror | None = None


@dataclass(frozen=True, slots=True)
class RouterState:
    """What one router pod has done with the table."""

    desired: int | None = None
    """Version of the newest table that it has read."""
    applied: int | None = None
    """Version that Envoy has confirmed."""
    waiting: str = ""
    """What it waits for, e.g. an address; it tries again by itself."""
    error: str = ""
    """Why the newest table can never be applied."""


@dataclass(frozen=True, slots=True)
class ClusterCounters:
    """Exact counts of one Envoy cluster since `boot`; monotone but for `active`."""

    total: int = 0
    completed: int = 0
    active: int = 0
    success: int = 0
    """Answers that are no error."""
    errors: int = 0
    """Answers with a status of 500 and above, or gRPC's words for it, without overflow."""
    overflow: int = 0
    """Requests that a circuit breaker refused: mirrored ones that were never sent."""
    timeouts: int = 0
    resets: int = 0
    buckets: tuple[tuple[float, int], ...] = ()
    """Cumulative latency histogram: (upper bound in ms, requests at or below it)."""


@dataclass(frozen=True, slots=True)
class RouterCounters:
    """Counts of one router process.

    Cluster names: `<revision>`, `<revision>_grpc`, `mirror-<revision>`.
    """

    boot: str
    at: datetime
    clusters: Mapping[str, ClusterCounters] = field(default_factory=dict)


_SUMMED = tuple(item.name for item in fields(ClusterCounters) if item.name != "buckets")


def grpc_cluster(revision: str) -> str:
    """Return the name of a revision's cluster for gRPC; no revision has an underscore.

    >>> grpc_cluster("rain-0a1b2c3d")
    'rain-0a1b2c3d_grpc'
    """
    return f"{revision}_grpc"


def add(one: ClusterCounters, other: ClusterCounters) -> ClusterCounters:
    """Return the counts of two clusters, or of two lives of one."""
    sums = {name: getattr(one, name) + getattr(other, name) for name in _SUMMED}
    edges = dict(one.buckets)
    for edge, count in other.buckets:
        edges[edge] = edges.get(edge, 0) + count
    return ClusterCounters(**sums, buckets=tuple(sorted(edges.items())))
