"""RouteTable → Envoy's clusters and routes.  Pure.

One cluster per revision, never one for "stable" and one for "canary": its counters belong to the
revision, promotion moves no connection, and its body never changes while the pod lives (a change
would drop the connection pools).  A mirrored revision has a second cluster with a breaker of its
own, so that a stuck shadow holds a bounded amount of memory and no live request.

gRPC would add, per revision, a second cluster with explicit HTTP/2 and a route matching
`grpc: {}` before the others; no shape here stands in its way.
"""

import json
from typing import Any, TypeAlias

from modelyard_core import canonical, headers
from modelyard_core.roles import Role
from modelyard_core.routes import RouteTable
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

Json: TypeAlias = dict[str, Any]


def clusters(table: RouteTable, port: int) -> dict[str, Json]:
    """Return the clusters that a table needs, by name."""
    needed = [_cluster(arm.revision, arm.host, port, LIVE_LIMITS) for arm in arms(table)]
    if table.mirror is not None:
        name = MIRROR_PREFIX + table.mirror.revision
        needed.append(_cluster(name, table.mirror.host, port, MIRROR_LIMITS))
    return {cluster["name"]: cluster for cluster in needed}


def clusters_with_traffic(table: RouteTable) -> list[str]:
    """Return the clusters that must have an address before the routes may name them."""
    return [arm.revision for arm in arms(table) if arm.weight]


def routes(table: RouteTable) -> list[Json]:
    """Return the route configuration of a table, as a list of one resource."""
    found: list[Json] = [
        {"name": "ready", "match": {"path": READY_PATH}, "direct_response": {"status": 200}}
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
    return [_route_configuration({"routes": [answer]})]


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


def _cluster(name: str, host: str, port: int, limits: dict[str, int]) -> Json:
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
                "explicit_http_config": {"http_protocol_options": {}},
            }
        },
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }


def _split(table: RouteTable) -> Json:
    """Order and total are constant along a ramp: growing a share only adds clients to it."""
    parts = [
        {
            "name": arm.revision,
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
