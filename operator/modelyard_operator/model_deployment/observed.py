"""What is read for a ModelDeployment: versions, pods, routers, routes.  All of it at one instant."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pydantic import ValidationError

from modelyard_core import codec
from modelyard_core.errors import ShapeError
from modelyard_core.readiness import LOADING
from modelyard_core.routes import ROUTES_FILE, RouterCounters, RouterState, RouteTable
from modelyard_core.runs import Verdict
from modelyard_operator import naming
from modelyard_operator.api import resources
from modelyard_operator.api.resources import Obj
from modelyard_operator.api.v1alpha1.model_deployment import ModelDeployment
from modelyard_operator.api.v1alpha1.model_version import ModelVersion
from modelyard_operator.ports import Images, Ports

ROUTER_COMPONENT = "router"
SERVING_COMPONENT = "serving"
WRITTEN_ANNOTATION = "modelyard.dev/written-at"
"""On the routes: when this table was written, so that the poke comes after the file's content."""

MAX_ASKED = 4
"""Pods that are asked in one pass why they are not ready: one answer is told, all wait together."""

_NOT_TROUBLE = ("ContainerCreating", "PodInitializing")


@dataclass(frozen=True, slots=True)
class VersionSeen:
    """A ModelVersion of the training."""

    name: str
    number: int
    digest: str
    uri: str
    verdict: Verdict
    is_turned_down: bool = False
    """A person or a gate rejected it."""


@dataclass(frozen=True, slots=True)
class PodSeen:
    """One pod, of a revision or of the router."""

    name: str
    address: str = ""
    revision: str = ""
    is_running: bool = False
    """A container of it runs, whether it is ready or not."""
    is_ready: bool = False
    is_leaving: bool = False
    poke: str = ""
    """The value of its routes annotation."""
    trouble: str = ""
    """Why it does not get ready, in the words of its server, its container or the kubelet."""


@dataclass(frozen=True, slots=True)
class RouterSeen:
    """One router pod and what its agent answers."""

    pod: PodSeen
    state: RouterState | None = None
    counters: RouterCounters | None = None


@dataclass(frozen=True, slots=True)
class WorkloadSeen:
    """The Deployment and the Service of one revision, as far as they exist."""

    revision: str
    deployment_uid: str = ""
    replicas: int = 0
    service_uid: str = ""


@dataclass(frozen=True, slots=True)
class RoutesSeen:
    """The ConfigMap with the routes."""

    table: RouteTable | None
    written_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything that a decision may use."""

    now: datetime
    images: Images
    has_training: bool = True
    versions: tuple[VersionSeen, ...] = ()
    """Newest first."""
    pods: tuple[PodSeen, ...] = ()
    """Of all revisions."""
    routers: tuple[RouterSeen, ...] = ()
    workloads: tuple[WorkloadSeen, ...] = ()
    routes: RoutesSeen | None = None

    def ready(self, revision: str) -> int:
        """Return how many pods of a revision answer."""
        return sum(
            pod.revision == revision and pod.is_ready and not pod.is_leaving for pod in self.pods
        )

    def is_waiting_for(self, revision: str) -> bool:
        """Return whether a pod of a revision runs and does not answer yet, or any more."""
        return any(pod.revision == revision and _may_be_asked(pod) for pod in self.pods)

    def trouble(self, revision: str) -> str:
        """Return what keeps a pod of a revision from getting ready, if anything says so."""
        mine = (pod.trouble for pod in self.pods if pod.revision == revision and not pod.is_leaving)
        return next((trouble for trouble in mine if trouble), "")


async def observe(obj: ModelDeployment, ports: Ports) -> Observed:
    """Read everything live."""
    cluster, namespace, name = ports.cluster, obj.metadata.namespace, obj.metadata.name
    mine = {naming.DEPLOYMENT_LABEL: name}
    versions, training, deployments, services, pods, routes = await asyncio.gather(
        cluster.list(resources.MODEL_VERSION, namespace),
        cluster.get(resources.MODEL_TRAINING, namespace, obj.spec.model.training),
        cluster.list(resources.DEPLOYMENT, namespace, mine),
        cluster.list(resources.SERVICE, namespace, mine),
        cluster.list(resources.POD, namespace, mine),
        cluster.get(resources.CONFIG_MAP, namespace, naming.routes_name(name)),
    )
    is_counting = obj.status is not None and obj.status.rollout is not None
    routers = await asyncio.gather(
        *(
            _router(pod, ports) if is_counting or _is_leaving(pod) else _uncounted(pod, ports)
            for pod in pods
            if _component(pod) == ROUTER_COMPONENT
        )
    )
    return Observed(
        now=ports.clock.now(),
        images=ports.images,
        has_training=training is not None,
        versions=_versions(versions, obj.spec.model.training),
        pods=await _servers(pods, ports),
        routers=tuple(routers),
        workloads=_workloads(deployments, services),
        routes=_routes(routes) if routes is not None else None,
    )


async def _router(obj: Obj, ports: Ports) -> RouterSeen:
    """Read a router with its counters: while they decide, and when it leaves, as it waits for that."""
    seen, pod = await _uncounted(obj, ports), _pod(obj)
    if seen.state is None:
        return seen
    return replace(seen, counters=await ports.routers.counters(pod.address))


async def _uncounted(obj: Obj, ports: Ports) -> RouterSeen:
    pod = _pod(obj)
    if not pod.address or obj.get("status", {}).get("phase") != "Running":
        return RouterSeen(pod)
    return RouterSeen(pod, await ports.routers.state(pod.address))


async def _servers(objs: Sequence[Obj], ports: Ports) -> tuple[PodSeen, ...]:
    """Return the serving pods; of those that run and are not ready a few say why."""
    pods = {obj["metadata"]["name"]: _pod(obj) for obj in objs if _is_serving(obj)}
    asked = [pod for pod in pods.values() if _may_be_asked(pod)][:MAX_ASKED]
    words = await asyncio.gather(*(ports.servers.why_not_ready(pod.address) for pod in asked))
    told = {
        pod.name: replace(pod, trouble=_worse(pod.trouble, said))
        for pod, said in zip(asked, words, strict=True)
    }
    return tuple((pods | told).values())


def _is_serving(obj: Obj) -> bool:
    return _component(obj) == SERVING_COMPONENT


def _may_be_asked(pod: PodSeen) -> bool:
    return bool(pod.address) and pod.is_running and not pod.is_ready and not pod.is_leaving


def _worse(known: str, said: str) -> str:
    """Return the better explanation: a process that is only loading may have died before of it."""
    return known or said if said in ("", LOADING) else said


def _is_leaving(obj: Obj) -> bool:
    return "deletionTimestamp" in obj["metadata"]


def _component(obj: Obj) -> str:
    return str(_labels(obj).get(naming.COMPONENT_LABEL, ""))


def _labels(obj: Obj) -> Mapping[str, str]:
    labels: Mapping[str, str] = obj["metadata"].get("labels") or {}
    return labels


def _versions(objs: Sequence[Obj], training: str) -> tuple[VersionSeen, ...]:
    seen = (_version(obj) for obj in objs if obj.get("spec", {}).get("training") == training)
    return tuple(sorted(filter(None, seen), key=lambda version: -version.number))


def _version(obj: Obj) -> VersionSeen | None:
    try:
        version = ModelVersion.model_validate(obj)
    except ValidationError:
        return None  # of a later release, or broken by hand: nothing to serve from
    return VersionSeen(
        name=version.metadata.name,
        number=version.spec.version,
        digest=version.spec.digest,
        uri=version.spec.uri,
        verdict=version.spec.verdict,
        is_turned_down=version.status is not None and version.status.phase == "Rejected",
    )


def _pod(obj: Obj) -> PodSeen:
    metadata, status = obj["metadata"], obj.get("status", {})
    conditions = {c["type"]: c for c in status.get("conditions", [])}
    return PodSeen(
        name=metadata["name"],
        address=status.get("podIP", ""),
        revision=_labels(obj).get(naming.REVISION_LABEL, ""),
        is_running=any(
            "running" in c.get("state", {}) for c in status.get("containerStatuses", [])
        ),
        is_ready=conditions.get("Ready", {}).get("status") == "True",
        is_leaving=_is_leaving(obj),
        poke=(metadata.get("annotations") or {}).get(naming.ROUTES_ANNOTATION, ""),
        trouble=_trouble(status, conditions) or _unmounted(obj, conditions),
    )


def _unmounted(obj: Obj, conditions: Mapping[str, Obj]) -> str:
    """Return what a pod needs that has not started: the kubelet says what is missing in an event.

    Whether a Secret is there is not for us to read.
    """
    if conditions.get("PodReadyToStartContainers", {}).get("status") != "False":
        return ""
    volumes = obj.get("spec", {}).get("volumes", [])
    names = [v["secret"]["secretName"] for v in volumes if "secret" in v]
    if not names:
        return ""
    return f"a pod has not started; it needs the Secret {' and the Secret '.join(names)}"


def _trouble(status: Obj, conditions: Mapping[str, Obj]) -> str:
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        return f"{scheduled.get('reason', 'Unschedulable')}: {scheduled.get('message', '')}"
    containers = (
        *status.get("initContainerStatuses", []),
        *status.get("containerStatuses", []),
    )
    return next(filter(None, map(_container_trouble, containers)), "")


def _container_trouble(container: Obj) -> str:
    """Return why a container does not run: its own last words before those of the kubelet."""
    waiting = container.get("state", {}).get("waiting", {})
    ended = (
        container.get("state", {}).get("terminated")
        or container.get("lastState", {}).get("terminated")
        or {}
    )
    if container.get("ready"):
        return ""
    if words := _last_words(str(ended.get("message", ""))):
        return words[:400]
    if ended.get("reason") == "Completed" and not waiting:
        return ""
    reason = waiting.get("reason", "")
    if reason and reason not in _NOT_TROUBLE:
        return f"{reason}: {waiting.get('message', '')}"[:400]
    if ended:
        return f"{container['name']} ended with code {ended.get('exitCode')}: {ended.get('reason')}"
    return ""


def _last_words(message: str) -> str:
    """Return what a container said at its end; where it left only its log, what the last line says.

    >>> _last_words('{"level": "error", "message": "no key"}')
    'no key'
    """
    words = message.strip()
    try:
        document = json.loads(words.splitlines()[-1]) if words else {}
    except ValueError:
        return words
    said = document.get("message") if isinstance(document, dict) else None
    return said if isinstance(said, str) else words


def _workloads(deployments: Sequence[Obj], services: Sequence[Obj]) -> tuple[WorkloadSeen, ...]:
    """Return what exists of every revision; the router and its Service carry no revision."""
    owned = {_labels(o).get(naming.REVISION_LABEL, ""): o for o in deployments}
    named = {_labels(o).get(naming.REVISION_LABEL, ""): o for o in services}
    return tuple(
        WorkloadSeen(
            revision=revision,
            deployment_uid=owned.get(revision, {}).get("metadata", {}).get("uid", ""),
            replicas=owned.get(revision, {}).get("spec", {}).get("replicas", 0),
            service_uid=named.get(revision, {}).get("metadata", {}).get("uid", ""),
        )
        for revision in sorted((owned.keys() | named.keys()) - {""})
    )


def _routes(obj: Obj) -> RoutesSeen:
    annotations = obj["metadata"].get("annotations") or {}
    try:
        table = codec.loads(RouteTable, (obj.get("data") or {}).get(ROUTES_FILE, ""))
        written = codec.parse_time(annotations.get(WRITTEN_ANNOTATION, ""))
    except (ShapeError, ValueError):
        return RoutesSeen(None)
    return RoutesSeen(table, written)
