"""RouteTable → Envoy's clusters and routes.  Pure.

One cluster per revision, never one for "stable" and one for "canary": its counters belong to the
revision, promotion moves no connection, and its body never changes while the pod lives (a change
would drop the connection pools).  Beside it each revision has one with HTTP/2 for gRPC, which the
routes choose by what a request is, not by the port that it came by.  A mirrored revision has a
cluster with a breaker of its own, so that a stuck shadow holds a bounded amount of memory and no
live request; gRPC is never mirrored.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from modelyard_core import canonical, headers
from modelyard_core.roles import Role
from modelyard_core.routes import Arm, RouteTable, grpc_cluster
from modelyard_router.table import arms

TYPE = "type.googleapis.com/"
CLUSTER = TYPE + "envoy.config.cluster.v3.Cluster"
DNS_CLUSTER = TYPE + "envoy.extensions.clusters.dns.v3.DnsCluster"
HTTP_OPTIONS = TYPE + "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
ROUTES = TYPE + "envoy.config.route.v3.RouteConfiguration"

ROUTE_CONFIG = "model"
"""Name of the one route configuration; the bootstrap asks for it."""
MIRROR_PREFIX = "mirror-"
READY_PATH = "/_router/ready"
"""Answers 200 once a table is applied: the pod's readiness."""
HEALTH_WATCH = "/grpc.health.v1.Health/Watch"
"""Refused as Unimplemented, which tells a gRPC client to go by its connection: an endless stream to
one of many pods says nothing about the others, and its end would count as a failure."""
STICKY_HEADER = "x-user-id"
"""Requests with the same value stay on the same side of the split."""
ROUTE_TIMEOUT = "30s"
UPSTREAM_IDLE = "30s"
"""Shorter than the serving pods' keep-alive (75 s): a request never meets a closing connection."""
BUFFER_BYTES = 1 << 20
MIRROR_BODY_LIMIT = 256 << 10
"""Larger bodies are not mirrored: a stuck shadow's flow control would reach the client."""
LIVE_LIMITS = {
    "max_connections": 4096,
    "max_pending_requests": 1024,
    "max_requests": 4096,
    "max_retries": 0,
}
MIRROR_LIMITS = {
    "max_connections": 64,
    "max_pending_requests": 8,
    "max_requests": 64,
    "max_retries": 0,
}
HTTP1: dict[str, Any] = {"http_protocol_options": {}}
HTTP2: dict[str, Any] = {
    "http2_protocol_options": {
        "initial_stream_window_size": BUFFER_BYTES,
        "initial_connection_window_size": 4 * BUFFER_BYTES,
    }
}
GRPC_MATCH: dict[str, Any] = {"prefix": "/", "grpc": {}}

Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the serving pods listen."""

    http: int = 8080
    grpc: int = 9000


def clusters(table: RouteTable, ports: Ports) -> dict[str, Json]:
    """Return the clusters that a table needs, by name."""
    needed = []
    for arm in arms(table):
        needed.append(_cluster(arm.revision, arm.host, ports.http, LIVE_LIMITS))
        needed.append(_grpc_cluster(arm, ports.grpc))
    if table.mirror is not None:
        name = MIRROR_PREFIX + table.mirror.revision
        needed.append(_cluster(name, table.mirror.host, ports.http, MIRROR_LIMITS))
    return {cluster["name"]: cluster for cluster in needed}


def clusters_of(arm: Arm) -> tuple[str, str]:
    """Return the names of the clusters that an arm's live traffic goes to."""
    return arm.revision, grpc_cluster(arm.revision)


def clusters_with_traffic(table: RouteTable) -> list[str]:
    """Return the clusters that must have an address before the routes may name them."""
    return [name for arm in arms(table) if arm.weight for name in clusters_of(arm)]


def host(cluster: Json) -> str:
    """Return the name whose addresses a cluster has."""
    endpoint = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
    return str(endpoint["address"]["socket_address"]["address"])


def routes(table: RouteTable) -> list[Json]:
    """Return the route configuration of a table, as a list of one resource."""
    found: list[Json] = [
        {"name": "ready", "match": {"path": READY_PATH}, "direct_response": {"status": 200}},
        {"name": "watch", "match": {"path": HEALTH_WATCH}, "direct_response": {"status": 404}},
        {"name": "grpc", "match": GRPC_MATCH, "route": _split(table, grpc_cluster)},
    ]
    if table.mirror is not None and table.mirror.percent:
        found.append({"name": "mirrored", "match": _mirrored_match(), "route": _mirrored(table)})
    found.append({"name": "live", "match": {"prefix": "/"}, "route": _split(table)})
    virtual_host = {
        "routes": found,
        # the version is content, so that Envoy's own dump proves which table it has
        "response_headers_to_add": [_overwrite(headers.ROUTE, str(table.version))],
        # only a mirrored copy may carry it
        "request_headers_to_remove": [headers.SHADOW],
    }
    return [_route_configuration(virtual_host)]


def no_routes() -> list[Json]:
    """Return what answers before the first table: 503 to everything, readiness included."""
    refusal = {
        "status": 503,
        "body": {"inline_string": json.dumps({"error": "the router has no routes yet"})},
    }
    answer = {
        "match": {"prefix": "/"},
        "direct_response": refusal,
        "response_headers_to_add": [_overwrite("content-type", "application/json")],
    }
    # Envoy says it in gRPC's way, which has a content type of its own
    refused_call = {"match": GRPC_MATCH, "direct_response": refusal}
    return [_route_configuration({"routes": [refused_call, answer]})]


def applied_version(route_configuration: Json) -> int | None:
    """Return the table version that a route configuration was made from."""
    for host in route_configuration.get("virtual_hosts", []):
        for added in host.get("response_headers_to_add", []):
            if added["header"]["key"] == headers.ROUTE:
                return int(added["header"]["value"])
    return None


def content_version(resources: list[Json]) -> str:
    """Return a name for exactly this content; Envoy repeats it in its dump."""
    return canonical.short_hash(canonical.digest_value(resources))


def _cluster(
    name: str, host: str, port: int, limits: dict[str, int], protocol: Json = HTTP1
) -> Json:
    address = {"socket_address": {"address": host, "port_value": port}}
    return {
        "@type": CLUSTER,
        "name": name,
        "connect_timeout": "1s",
        "lb_policy": "LEAST_REQUEST",
        "per_connection_buffer_limit_bytes": BUFFER_BYTES,
        "circuit_breakers": {"thresholds": [limits]},
        "cluster_type": {
            "name": "envoy.clusters.dns",
            "typed_config": {
                "@type": DNS_CLUSTER,
                "dns_refresh_rate": "2s",
                "dns_failure_refresh_rate": {"base_interval": "0.2s", "max_interval": "1s"},
                "dns_lookup_family": "V4_PREFERRED",
            },
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": HTTP_OPTIONS,
                "common_http_protocol_options": {"idle_timeout": UPSTREAM_IDLE},
                "explicit_http_config": protocol,
            }
        },
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }


def _grpc_cluster(arm: Arm, port: int) -> Json:
    return _cluster(grpc_cluster(arm.revision), arm.host, port, LIVE_LIMITS, HTTP2)


def _itself(revision: str) -> str:
    return revision


def _split(table: RouteTable, cluster: Callable[[str], str] = _itself) -> Json:
    """Order and total are constant along a ramp: growing a share only adds clients to it."""
    parts = [
        {
            "name": cluster(arm.revision),
            "weight": arm.weight,
            "request_headers_to_add": [_overwrite(headers.ROLE, role)],
            "response_headers_to_add": [_overwrite(headers.REVISION, arm.revision)],
        }
        for role, arm in zip((Role.STABLE, Role.CANARY), arms(table), strict=False)
    ]
    return {
        "timeout": ROUTE_TIMEOUT,
        "hash_policy": [{"header": {"header_name": STICKY_HEADER}}],
        "weighted_clusters": {"use_hash_policy": True, "clusters": parts},
    }


def _mirrored(table: RouteTable) -> Json:
    assert table.mirror is not None
    share = {"numerator": table.mirror.percent, "denominator": "HUNDRED"}
    policy = {
        "cluster": MIRROR_PREFIX + table.mirror.revision,
        "disable_shadow_host_suffix_append": True,
        "runtime_fraction": {"default_value": share},
        "request_headers_mutations": [
            {"append": _overwrite(headers.ROLE, Role.SHADOW)},
            {"append": _overwrite(headers.SHADOW, "true")},
        ],
    }
    return {**_split(table), "request_mirror_policies": [policy]}


def _mirrored_match() -> Json:
    """Only predictions are copied, and only bodies of a known, small size."""
    size = {"start": 0, "end": MIRROR_BODY_LIMIT + 1}
    return {
        "prefix": "/v2/models/",
        "headers": [
            {"name": ":method", "string_match": {"exact": "POST"}},
            {"name": "content-length", "range_match": size},
        ],
    }


def _route_configuration(virtual_host: Json) -> Json:
    host = {"name": ROUTE_CONFIG, "domains": ["*"], **virtual_host}
    return {"@type": ROUTES, "name": ROUTE_CONFIG, "virtual_hosts": [host]}


def _overwrite(key: str, value: str) -> Json:
    return {
        "header": {"key": key, "value": str(value)},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }
