"""The objects of a deployment: a Deployment and a Service for each revision, the router, its routes.

A revision's pods are made of its record alone, never of the spec, so they cannot change under their
name; the Deployment is created once and only its size is ever applied again.  The router's pods are
of the operator's own making and roll with it, without a lost request.
"""

from typing import Any

from modelyard_core import codec
from modelyard_core.routes import ROUTES_FILE, RouteTable
from modelyard_operator import naming, pod_security
from modelyard_operator.api import resources
from modelyard_operator.api.resources import Obj
from modelyard_operator.api.v1alpha1.common import Resources
from modelyard_operator.api.v1alpha1.model_deployment import ModelDeployment
from modelyard_operator.api.v1alpha1.revision import RevisionRecord
from modelyard_operator.model_deployment import mounted_secrets
from modelyard_operator.model_deployment.observed import (
    ROUTER_COMPONENT,
    SERVING_COMPONENT,
    WRITTEN_ANNOTATION,
    Observed,
)
from modelyard_operator.ports import Images

SERVING_PORT = 8080
SERVING_GRPC_PORT = 9000
ROUTER_PORT = 8080
ROUTER_GRPC_PORT = 9000
AGENT_PORT = 9903
CLIENT_PORT = 80
CLIENT_GRPC_PORT = 9000
H2C = "kubernetes.io/h2c"
"""Tells gateways to speak HTTP/2 without TLS to a port."""
STORE_SCHEME = "pvc://"
SERVING_GRACE_SECONDS = 60
ROUTER_GRACE_SECONDS = 90
MODEL_MOUNT = "/modelyard/model"
STORE_MOUNT = "/modelyard/store"

DEFAULT_SERVING = {
    "requests": {"cpu": "100m", "memory": "256Mi"},
    "limits": {"memory": "1Gi"},
}
ENVOY_RESOURCES = {"requests": {"cpu": "50m", "memory": "96Mi"}, "limits": {"memory": "512Mi"}}
AGENT_RESOURCES = {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}}


def _labels(obj: ModelDeployment, revision: str = "") -> dict[str, str]:
    mine = {naming.DEPLOYMENT_LABEL: obj.metadata.name}
    return mine | {naming.REVISION_LABEL: revision} if revision else mine


def _child(
    obj: ModelDeployment,
    resource: resources.Resource,
    name: str,
    component: str,
    revision: str = "",
) -> Obj:
    labels = _labels(obj, revision)
    return naming.child(obj, resource, name, component=component, labels=labels)


def _get(url: str, port: int, **timing: int) -> Obj:
    return {"httpGet": {"path": url, "port": port}, **timing}


def _env(**values: object) -> list[Obj]:
    return [{"name": name, "value": str(value)} for name, value in values.items()]


# Revisions


def revision_workload(obj: ModelDeployment, record: RevisionRecord, images: Images) -> Obj:
    """Return the Deployment of a revision, as it is created."""
    head = _child(obj, resources.DEPLOYMENT, record.name, SERVING_COMPONENT, record.name)
    return head | {
        "spec": {
            "replicas": obj.spec.replicas,
            "revisionHistoryLimit": 0,
            "selector": {"matchLabels": {naming.REVISION_LABEL: record.name}},
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
            },
            "template": {
                "metadata": {"labels": head["metadata"]["labels"]},
                "spec": _serving_pod(obj, record, images),
            },
        }
    }


def revision_size(obj: ModelDeployment, revision: str) -> Obj:
    """Return the size of a revision's Deployment, which is all that is ever applied to it."""
    head = _child(obj, resources.DEPLOYMENT, revision, SERVING_COMPONENT, revision)
    return head | {"spec": {"replicas": obj.spec.replicas}}


def revision_service(obj: ModelDeployment, revision: str) -> Obj:
    """Return the headless Service by which routers and the monitor find a revision's pods."""
    head = _child(obj, resources.SERVICE, revision, SERVING_COMPONENT, revision)
    return head | {
        "spec": {
            "clusterIP": "None",
            "selector": {naming.REVISION_LABEL: revision},
            "ports": [
                {"name": "http", "port": SERVING_PORT, "targetPort": SERVING_PORT},
                _grpc_port(SERVING_GRPC_PORT, SERVING_GRPC_PORT),
            ],
        }
    }


def _serving_pod(obj: ModelDeployment, record: RevisionRecord, images: Images) -> Obj:
    runtime = record.runtime
    placement = {
        "nodeSelector": runtime.node_selector,
        "tolerations": [toleration.to_json() for toleration in runtime.tolerations],
    }
    pod = pod_security.pod(SERVING_GRACE_SECONDS) | {
        "initContainers": [_fetch(record, images)],
        "containers": [_serve(obj, record, images)],
        "volumes": [
            {"name": "model", "emptyDir": {}},
            {"name": "scratch", "emptyDir": {}},
            {"name": "store", "persistentVolumeClaim": _claim(record.uri)},
            *(secret.volume for secret in mounted_secrets.of(runtime)),
        ],
    }
    return pod | {name: value for name, value in placement.items() if value}


def _claim(uri: str) -> Obj:
    claim = uri.removeprefix(STORE_SCHEME).partition("/")[0]
    return {"claimName": claim, "readOnly": True}


def _fetch(record: RevisionRecord, images: Images) -> Obj:
    """Return the init container that brings the bundle and verifies it, or fails."""
    return {
        "name": "fetch",
        "image": record.image,
        "imagePullPolicy": images.pull_policy,
        "command": ["modelyard-fetch"],
        "env": _env(MODELYARD_BUNDLE_URI=record.uri, MODELYARD_BUNDLE_DIGEST=record.digest),
        "resources": {
            "requests": {"cpu": "50m", "memory": "64Mi"},
            "limits": {"memory": "256Mi"},
        },
        "securityContext": pod_security.CONTAINER,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "model", "mountPath": MODEL_MOUNT},
            {"name": "store", "mountPath": STORE_MOUNT, "readOnly": True},
        ],
    }


def _serve(obj: ModelDeployment, record: RevisionRecord, images: Images) -> Obj:
    secrets = mounted_secrets.of(record.runtime)
    ours = _env(
        MODELYARD_MODEL_NAME=obj.metadata.name,
        MODELYARD_MODEL_VERSION=record.version,
        MODELYARD_REVISION=record.name,
        MODELYARD_DIGEST=record.digest,
        MODELYARD_MAX_BATCH_ROWS=record.runtime.max_batch_rows,
        **{secret.variable: secret.file for secret in secrets},
    )
    taken = {variable["name"] for variable in ours}
    theirs = [v.to_json() for v in record.runtime.env if v.name not in taken]
    return {
        "name": "serving",
        "image": record.image,
        "imagePullPolicy": images.pull_policy,
        "command": ["modelyard-serve"],
        "env": [*ours, *theirs],
        "ports": [
            {"name": "http", "containerPort": SERVING_PORT},
            {"name": "grpc", "containerPort": SERVING_GRPC_PORT},
        ],
        "resources": _resources(record.runtime.resources),
        "securityContext": pod_security.CONTAINER,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "lifecycle": {"preStop": {"sleep": {"seconds": 10}}},
        "startupProbe": _get(
            "/v2/health/ready",
            SERVING_PORT,
            periodSeconds=1,
            failureThreshold=600,
            timeoutSeconds=2,
        ),
        "readinessProbe": _get("/v2/health/ready", SERVING_PORT, periodSeconds=2, timeoutSeconds=2),
        "livenessProbe": _get(
            "/v2/health/live", SERVING_PORT, periodSeconds=10, timeoutSeconds=5, failureThreshold=6
        ),
        "volumeMounts": [
            {"name": "model", "mountPath": MODEL_MOUNT, "readOnly": True},
            {"name": "scratch", "mountPath": "/tmp"},  # noqa: S108 (an emptyDir of the pod)
            *(secret.mount for secret in secrets),
        ],
    }


def _resources(wanted: Resources | None) -> dict[str, Any]:
    return wanted.to_json() if wanted is not None else DEFAULT_SERVING


# The router


def client_service(obj: ModelDeployment) -> Obj:
    """Return the Service that clients talk to."""
    head = _child(obj, resources.SERVICE, obj.metadata.name, ROUTER_COMPONENT)
    return head | {
        "spec": {
            "selector": _router_selector(obj),
            "ports": [
                {"name": "http", "port": CLIENT_PORT, "targetPort": ROUTER_PORT},
                _grpc_port(CLIENT_GRPC_PORT, ROUTER_GRPC_PORT),
            ],
        }
    }


def _grpc_port(port: int, target: int) -> Obj:
    return {"name": "grpc", "port": port, "targetPort": target, "appProtocol": H2C}


def routes_config(obj: ModelDeployment, table: RouteTable, seen: Observed) -> Obj:
    """Return the ConfigMap with the routes; a table that is there already keeps its time."""
    live = seen.routes
    is_new = live is None or live.table != table or live.written_at is None
    written = seen.now if is_new or live is None or live.written_at is None else live.written_at
    head = _child(
        obj, resources.CONFIG_MAP, naming.routes_name(obj.metadata.name), ROUTER_COMPONENT
    )
    head["metadata"]["annotations"] = {WRITTEN_ANNOTATION: codec.format_time(written)}
    return head | {"data": {ROUTES_FILE: codec.dumps(table)}}


def router_budget(obj: ModelDeployment) -> Obj:
    """Return the disruption budget of the routers: they are moved one by one."""
    head = _child(
        obj,
        resources.POD_DISRUPTION_BUDGET,
        naming.router_name(obj.metadata.name),
        ROUTER_COMPONENT,
    )
    return head | {
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": _router_selector(obj)}},
    }


def _router_selector(obj: ModelDeployment) -> dict[str, str]:
    return {
        naming.DEPLOYMENT_LABEL: obj.metadata.name,
        naming.COMPONENT_LABEL: ROUTER_COMPONENT,
    }


def router_workload(obj: ModelDeployment, images: Images) -> Obj:
    """Return the routers: Envoy, and its agent as a native sidecar that outlives it."""
    head = _child(
        obj, resources.DEPLOYMENT, naming.router_name(obj.metadata.name), ROUTER_COMPONENT
    )
    selector = _router_selector(obj)
    return head | {
        "spec": {
            "replicas": obj.spec.rollout.traffic.replicas,
            "revisionHistoryLimit": 0,
            "selector": {"matchLabels": selector},
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
            },
            "template": {
                "metadata": {"labels": head["metadata"]["labels"]},
                "spec": _router_pod(obj, images),
            },
        }
    }


def _router_pod(obj: ModelDeployment, images: Images) -> Obj:
    routes_name = naming.routes_name(obj.metadata.name)
    return pod_security.pod(ROUTER_GRACE_SECONDS) | {
        "initContainers": [_agent(images)],
        "containers": [_envoy(images)],
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": _router_selector(obj)},
            }
        ],
        "volumes": [
            {"name": "xds", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}},
            {"name": "scratch", "emptyDir": {}},
            {"name": "routes", "configMap": {"name": routes_name, "optional": True}},
        ],
    }


def _agent(images: Images) -> Obj:
    return {
        "name": "agent",
        "image": images.router,
        "imagePullPolicy": images.pull_policy,
        "command": ["modelyard-router", "serve"],
        "restartPolicy": "Always",
        "ports": [{"name": "agent", "containerPort": AGENT_PORT}],
        "resources": AGENT_RESOURCES,
        "securityContext": pod_security.CONTAINER,
        "startupProbe": _get("/healthz", AGENT_PORT, periodSeconds=1, failureThreshold=60),
        "volumeMounts": [
            {"name": "xds", "mountPath": "/xds"},
            {"name": "routes", "mountPath": "/routes", "readOnly": True},
        ],
    }


def _envoy(images: Images) -> Obj:
    ready = "/_router/ready"
    return {
        "name": "envoy",
        "image": images.router,
        "imagePullPolicy": images.pull_policy,
        "command": ["modelyard-router", "envoy"],
        "ports": [
            {"name": "http", "containerPort": ROUTER_PORT},
            {"name": "grpc", "containerPort": ROUTER_GRPC_PORT},
        ],
        "resources": ENVOY_RESOURCES,
        "securityContext": pod_security.CONTAINER,
        "lifecycle": {"preStop": {"exec": {"command": ["modelyard-router", "drain"]}}},
        # Before the first table there is nothing to answer with: that is waiting, not failing.
        "startupProbe": _get(ready, ROUTER_PORT, periodSeconds=1, failureThreshold=86_400),
        "readinessProbe": _get(ready, ROUTER_PORT, periodSeconds=2, timeoutSeconds=1),
        "volumeMounts": [
            {"name": "xds", "mountPath": "/xds", "readOnly": True},
            {"name": "scratch", "mountPath": "/tmp"},  # noqa: S108 (an emptyDir of the pod)
        ],
    }
