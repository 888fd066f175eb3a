"""Envoy's admin interface: what is applied, which clusters are warm, what was counted."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any
from urllib.parse import quote

from modelyard_router import envoy_config
from modelyard_router.envoy_config import ROUTE_CONFIG

TIMEOUT_SECONDS = 5.0
REJECTIONS = (
    rf"^(cluster_manager\.cds|http\.ingress\.rds\.{ROUTE_CONFIG})\.update_(rejected|failure)$"
)
OPEN = r"^http\.ingress\.downstream_(cx|rq)_active$"
SERVER_FAULTS = (2, 4, 13, 14, 15)
"""gRPC's words for a status of 500 and above: Unknown, DeadlineExceeded, Internal, Unavailable,
DataLoss.  The others are the client's."""
COUNTS = (
    r"^cluster\.[^.]*\.(upstream_rq_(total|completed|active|pending_active|cancelled|timeout"
    r"|rx_reset|pending_overflow|pending_failure_eject|[1-5]xx|time)|upstream_cx_none_healthy"
    rf"|grpc\.({'|'.join(map(str, SERVER_FAULTS))}))$"
)
COUNT_NAME = re.compile(r"cluster\.([^.]*)\.(?:upstream_rq_|upstream_)?(.*)")


@dataclass(frozen=True, slots=True)
class AppliedRoutes:
    """The route configuration that Envoy serves with."""

    content: str
    """Name of its exact content."""
    version: int | None
    """Version of the table that it was made from; None before the first table."""


@dataclass(frozen=True, slots=True)
class RawCounts:
    """Envoy's own numbers of one cluster, by the last part of their names."""

    values: Mapping[str, int]
    buckets: tuple[tuple[float, int], ...] = ()


class EnvoyAdmin:
    """A reader of one Envoy; every method raises `OSError` while Envoy does not answer."""

    def __init__(self, port: int) -> None:
        self._port = port

    def boot(self) -> str:
        """Return the id of this Envoy process; another process has another."""
        return str(json.loads(self._request("/server_info"))["node"]["id"])

    def applied(self) -> AppliedRoutes | None:
        """Return the routes in use, or None before there are any."""
        dump = json.loads(self._request("/config_dump?resource=dynamic_route_configs"))
        for item in dump.get("configs", []):
            version = envoy_config.applied_version(item["route_config"])
            return AppliedRoutes(item.get("version_info", ""), version)
        return None

    def addresses(self) -> dict[str, int]:
        """Return how many addresses each warm cluster has."""
        document = json.loads(self._request("/clusters?format=json"))
        statuses = document.get("cluster_statuses", [])
        return {item["name"]: len(item.get("host_statuses", [])) for item in statuses}

    def rejections(self) -> int:
        """Return how many configurations this Envoy has refused so far."""
        return sum(self._values(REJECTIONS).values())

    def open_connections(self) -> int:
        """Return the clients' open connections and requests."""
        return sum(self._values(OPEN).values())

    def counts(self) -> dict[str, RawCounts]:
        """Return the numbers of every cluster."""
        values: dict[str, dict[str, int]] = {}
        buckets: dict[str, tuple[tuple[float, int], ...]] = {}
        for name, value in self._values(COUNTS).items():
            if matched := COUNT_NAME.fullmatch(name):
                values.setdefault(matched[1], {})[matched[2]] = value
        for histogram in self._histograms(COUNTS):
            if matched := COUNT_NAME.fullmatch(histogram["name"]):
                edges = histogram["buckets"]
                buckets[matched[1]] = tuple((e["upper_bound"], e["cumulative"]) for e in edges)
        return {name: RawCounts(found, buckets.get(name, ())) for name, found in values.items()}

    def fail_health_checks(self) -> None:
        """Begin to leave: every answer from now on closes its connection."""
        self._request("/healthcheck/fail", "POST")

    def prometheus(self) -> bytes:
        """Return Envoy's metrics in Prometheus' text format."""
        return self._request("/stats/prometheus?usedonly")

    def _values(self, pattern: str) -> dict[str, int]:
        return {item["name"]: item["value"] for item in self._stats(pattern) if "value" in item}

    def _histograms(self, pattern: str) -> list[Any]:
        return [h for item in self._stats(pattern) for h in item.get("histograms", [])]

    def _stats(self, pattern: str) -> list[Any]:
        query = f"/stats?format=json&histogram_buckets=cumulative&filter={quote(pattern, safe='')}"
        return list(json.loads(self._request(query))["stats"])

    def _request(self, path: str, method: str = "GET") -> bytes:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT_SECONDS)
        try:
            connection.request(method, path)
            return connection.getresponse().read()
        finally:
            connection.close()
