"""A small world for ModelDeployments: a cluster, kubelets, routers and clients, in virtual time.

It keeps objects as JSON, as the API server does, and runs the real observe and decide.  A pass can
be cut after any write.  The world watches what clients would see: a request that goes to a revision
without ready pods is a failed one.
"""

import asyncio
import atexit
import builtins
import copy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from modelyard_core import codec
from modelyard_core.routes import (
    LATENCY_EDGES_MS,
    ROUTES_FILE,
    ClusterCounters,
    RouterCounters,
    RouterState,
    RouteTable,
)
from modelyard_operator import naming
from modelyard_operator.actions import Apply, Create, Decision, Delete, Emit, Poke
from modelyard_operator.api import resources
from modelyard_operator.api.v1alpha1.model_deployment import ModelDeployment, ModelDeploymentStatus
from modelyard_operator.model_deployment import plan
from modelyard_operator.model_deployment.observed import observe
from modelyard_operator.ports import Images, Ports

RUNNER = asyncio.Runner()
"""One event loop for all worlds: a new one for each pass would take half of the time."""
atexit.register(RUNNER.close)

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
RESYNC = timedelta(seconds=5)
NAME = "rain"
NAMESPACE = "weather"
LADDER = ({"mirror": 100}, {"weight": 5}, {"weight": 25}, {"weight": 50})
QUICK = {"minRequests": 100, "checks": [{"type": "Errors", "tolerance": "0.05"}]}


@dataclass
class Behaviour:
    """How the pods of one version behave."""

    becomes_ready: bool = True
    says: str | None = None
    """Why its pods run and are not ready; None: they crash instead."""
    failing: float = 0.0
    """Share of its requests that it answers with 500."""
    slow: float = 0.0
    """Share of its requests that take 200 ms instead of 4."""
    hanging: float = 0.0
    """Share of its requests whose client gives up."""


@dataclass
class Router:
    """One router pod with its agent and its counters."""

    name: str
    boot: str
    table: RouteTable | None = None
    poked: str = ""
    is_reachable: bool = True
    is_leaving: bool = False
    applies: bool = True
    counts: dict[str, ClusterCounters] = field(default_factory=dict)
    fractions: dict[str, float] = field(default_factory=dict)

    @property
    def is_ready(self) -> bool:
        return self.table is not None and not self.is_leaving

    def share(self, name: str, amount: float) -> int:
        """Return the whole part of an amount, and carry the rest over to the next time."""
        amount += self.fractions.get(name, 0.0) + 1e-9
        self.fractions[name] = amount - int(amount)
        return int(amount)


class World:
    """Everything outside the decisions."""

    def __init__(self, **spec: Any) -> None:
        self.now = START
        self.versions: dict[int, str] = {}
        self.behaviours: dict[int, Behaviour] = {}
        self.has_training = True
        self.broken: set[str] = set()
        """Revisions whose pods have died."""
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.applied: dict[tuple[str, str], dict[str, Any]] = {}
        self.routers: list[Router] = []
        self.events: list[Emit] = []
        self.asked: list[str] = []
        """Addresses of the pods that were asked why they are not ready."""
        self.status: dict[str, Any] = {}
        self.annotations: dict[str, str] = {}
        self.images = Images("training:1", "serving:1", "router:1")
        self.writes = 0
        self.status_writes = 0
        self.failed = 0
        """Requests that found no pod."""
        self.errors: dict[str, int] = {}
        """Requests that a revision answered with 500, as clients saw it."""
        self.generation = 1
        self.boots = 0
        self.requeue: timedelta | None = timedelta(0)
        self.looked_at = START
        self.picture: object = None
        self.spec: dict[str, Any] = {
            "model": {"training": NAME},
            "replicas": 2,
            "rollout": {"steps": list(LADDER), "analysis": dict(QUICK)},
        } | spec
        self.add_version(1)
        self.scale_routers(2)

    # what people and trainings do

    def add_version(self, number: int, verdict: str = "Blessed", **behaviour: Any) -> None:
        self.versions[number] = verdict
        self.behaviours[number] = Behaviour(**behaviour)
        digest = f"sha256:{number:064x}"
        self.objects["ModelVersion", f"{NAME}-v{number}"] = {
            "metadata": {"name": f"{NAME}-v{number}", "namespace": NAMESPACE},
            "spec": {
                "training": NAME,
                "version": number,
                "digest": digest,
                "uri": f"pvc://models/{NAME}/versions/sha256-{number:064x}",
                "runKey": digest,
                "run": f"{NAME}-{number:08x}",
                "trigger": "Spec",
                "verdict": verdict,
                "images": {"training": "training:1"},
            },
        }

    def edit(self, **spec: Any) -> None:
        self.spec = self.spec | spec
        self.generation += 1

    def act(self, value: str) -> None:
        self.annotations[naming.ACTION_ANNOTATION] = value

    def scale_routers(self, count: int) -> None:
        while len(self.routers) < count:
            self.boots += 1
            self.routers.append(Router(f"router-{self.boots}", f"boot-{self.boots}"))

    # one pass

    def decide(self) -> Decision:
        obj = self.model()
        return plan.decide(obj, RUNNER.get_loop().run_until_complete(observe(obj, self.ports())))

    def step(self, cut: int | None = None) -> Decision:
        """Run one pass; cut: crash after this many writes, the status being the last one."""
        decision = self.decide()
        writes = [a for a in decision.actions if not isinstance(a, Emit)]
        for done, action in enumerate(writes):
            if cut is not None and done >= cut:
                return decision
            self.write(action)
        if cut is not None and cut <= len(writes):
            return decision
        self.events += [a for a in decision.actions if isinstance(a, Emit)]
        self.write_status(decision.status)
        self.requeue = decision.requeue_after
        return decision

    def write_status(self, status: dict[str, Any]) -> None:
        ModelDeploymentStatus.model_validate(status)
        if status != self.status:
            self.status = copy.deepcopy(status)
            self.status_writes += 1
            self.writes += 1

    def write(self, action: object) -> None:
        match action:
            case Create(obj) | Apply(obj):
                self._apply(obj)
            case Delete(resource, _, name, uid):
                live = self.objects.get((resource.kind, name))
                if live and live["metadata"]["uid"] == uid:
                    self.check_unused(name)
                    del self.objects[resource.kind, name]
                    self.writes += 1
            case Poke(_, pods, value):
                for router in self.routers:
                    if router.name in pods:
                        router.poked = value
                self.writes += 1

    def _apply(self, obj: dict[str, Any]) -> None:
        key = obj["kind"], obj["metadata"]["name"]
        live = self.objects.get(key, {})
        if live and self.applied.get(key) == obj:
            return
        self.applied[key] = obj
        merged = _merge(live, obj)
        merged["metadata"].setdefault("uid", f"{key[0]}/{key[1]}@{self.writes}")
        if obj["kind"] == "ConfigMap":
            self.check_ready(codec.loads(RouteTable, obj["data"][ROUTES_FILE]), live)
        if merged != live:
            self.objects[key] = merged
            self.writes += 1

    # what must never be

    def check_ready(self, table: RouteTable, live: dict[str, Any]) -> None:
        """Nobody is given requests without a pod that answers, unless nobody has one."""
        arms = [arm for arm in (table.stable, table.canary) if arm is not None and arm.weight]
        if not any(self.ready(arm.revision) for arm in arms):
            return
        if live and live["data"][ROUTES_FILE] == codec.dumps(table):
            return
        if table.canary is not None and table.canary.weight:
            assert self.ready(table.canary.revision), "weight to a canary without ready pods"
        if table.canary is None or not table.canary.weight:
            others = [n for k, n in self.objects if k == "Deployment" and n != f"{NAME}-router"]
            alive = any(self.ready(n) for n in others)
            assert self.ready(table.stable.revision) or not alive, "all weight to dead pods"

    def check_unused(self, name: str) -> None:
        """Pods go after every router has forgotten them."""
        for router in self.routers:
            if router.table is not None and not router.is_leaving:
                arms = (router.table.stable, router.table.canary, router.table.mirror)
                assert name not in [arm.revision for arm in arms if arm], "pods deleted in use"

    # the rest of the cluster

    def run(self, seconds: float, rate: float = 200.0, until: Any = None) -> None:
        """Let time pass: kubelets and agents work, clients send, the operator looks when due."""
        end = self.now + timedelta(seconds=seconds)
        while self.now < end and not (until is not None and until(self)):
            if self._is_due():
                self.settle()
            self.now += timedelta(seconds=1)
            self.agents()
            self.clients(rate)

    def _is_due(self) -> bool:
        """Return whether the operator looks: asked for, woken by a change, or every few seconds."""
        picture = (
            self.generation,
            tuple(self.objects),
            tuple(self.annotations.values()),
            tuple(sorted(self.broken)),
            tuple((r.name, r.is_ready, r.is_leaving) for r in self.routers),
        )
        is_woken = picture != self.picture
        self.picture = picture
        asked = self.requeue if self.requeue is not None else RESYNC
        return is_woken or self.now - self.looked_at >= min(asked, RESYNC)

    def settle(self, limit: int = 25) -> None:
        """Run passes while there is something to do at this moment."""
        for _ in range(limit):
            self.looked_at = self.now
            before = self.writes
            self.step()
            if self.requeue is not None and self.requeue < timedelta(seconds=1):
                self.now += max(self.requeue, timedelta(milliseconds=10))
                self.agents()
            elif self.writes == before:
                return

    def agents(self) -> None:
        """Poked kubelets refresh the file; agents apply what has warm clusters."""
        text = self.objects.get(("ConfigMap", f"{NAME}-routes"), {}).get("data", {})
        if ROUTES_FILE not in text:
            return
        table = _table(text[ROUTES_FILE])
        for router in self.routers:
            is_poked = router.poked.partition("@")[0] == str(table.version)
            if router.applies and not router.is_leaving and (router.table is None or is_poked):
                router.table = table

    def clients(self, rate: float, seconds: float = 1.0) -> None:
        """Send requests through every router by the table that it has."""
        ready = [router for router in self.routers if router.is_ready]
        for router in ready:
            table, amount = router.table, rate * seconds / len(ready)
            assert table is not None
            for arm in (table.stable, table.canary):
                if arm is not None and arm.weight:
                    wanted = router.share(arm.revision, amount * arm.weight / 1000)
                    self.answer(router, arm.revision, arm.revision, wanted)
            if table.mirror is not None:
                copies = router.share("mirror", amount * table.mirror.percent / 100)
                self.answer(
                    router, table.mirror.revision, f"mirror-{table.mirror.revision}", copies
                )

    def answer(self, router: Router, revision: str, cluster: str, requests: int) -> None:
        behaviour = self.behaviours[self.version_of(revision)]
        is_live = cluster == revision
        if not self.ready(revision):
            self.failed += requests if is_live else 0
            bad, slow, lost = requests, 0, 0
        else:
            bad = router.share(f"{cluster}-bad", requests * behaviour.failing)
            lost = router.share(f"{cluster}-lost", requests * behaviour.hanging)
            slow = router.share(f"{cluster}-slow", requests * behaviour.slow)
        if is_live:
            self.errors[revision] = self.errors.get(revision, 0) + bad + lost
        done = requests - lost
        before = router.counts.get(cluster, ClusterCounters())
        counts = dict(before.buckets) or dict.fromkeys(LATENCY_EDGES_MS, 0)
        for edge in counts:
            counts[edge] += (done - slow if edge >= 5 else 0) + (slow if edge >= 250 else 0)
        router.counts[cluster] = replace(
            before,
            total=before.total + requests,
            completed=before.completed + done,
            success=before.success + done - min(bad, done),
            errors=before.errors + min(bad, done),
            buckets=tuple(sorted(counts.items())),
        )

    def version_of(self, revision: str) -> int:
        env = self.objects["Deployment", revision]["spec"]["template"]["spec"]["containers"][0]
        return int(next(e["value"] for e in env["env"] if e["name"] == "MODELYARD_MODEL_VERSION"))

    def ready(self, revision: str) -> int:
        live = self.objects.get(("Deployment", revision))
        if live is None or revision in self.broken:
            return 0
        is_ready = self.behaviours[self.version_of(revision)].becomes_ready
        return live["spec"]["replicas"] if is_ready else 0

    # as the operator sees it

    def model(self) -> ModelDeployment:
        return ModelDeployment.model_validate(
            {
                "metadata": {
                    "name": NAME,
                    "namespace": NAMESPACE,
                    "uid": "u",
                    "generation": self.generation,
                    "annotations": self.annotations,
                },
                "spec": self.spec,
                "status": self.status or {"observedGeneration": -1},
            }
        )

    def ports(self) -> Ports:
        return Ports(self, self, self, None, _Clock(self), self.images)  # type: ignore[arg-type]

    async def get(self, resource: Any, namespace: str, name: str) -> dict[str, Any] | None:
        if resource == resources.MODEL_TRAINING:
            return {"metadata": {"name": name}} if self.has_training else None
        return self.objects.get((resource.kind, name))

    async def list(
        self, resource: Any, namespace: str, labels: Any = None
    ) -> builtins.list[dict[str, Any]]:
        if resource == resources.POD:
            return self._pods()
        found = [o for (kind, _), o in sorted(self.objects.items()) if kind == resource.kind]
        wanted = dict(labels or {}).items()
        return [o for o in found if wanted <= o["metadata"].get("labels", {}).items()]

    def _pods(self) -> builtins.list[dict[str, Any]]:
        pods = [_router_pod(router) for router in self.routers]
        for (kind, name), live in self.objects.items():
            if kind == "Deployment" and name != f"{NAME}-router":
                ready = self.ready(name)
                wanted = live["spec"]["replicas"]
                pods += [_serving_pod(name, i, is_ready=i < ready) for i in range(wanted)]
                if self.behaviours[self.version_of(name)].says is not None:
                    _let_run(pods[-wanted:])
        return pods

    async def why_not_ready(self, address: str) -> str:
        self.asked.append(address)
        return self.behaviours[self.version_of(address.rpartition("-")[0])].says or ""

    async def state(self, address: str) -> RouterState | None:
        router = next(r for r in self.routers if r.name == address)
        if not router.is_reachable:
            return None
        version = router.table.version if router.table else None
        return RouterState(desired=version, applied=version)

    async def counters(self, address: str) -> RouterCounters | None:
        router = next(r for r in self.routers if r.name == address)
        if not router.is_reachable:
            return None
        return RouterCounters(router.boot, self.now, dict(router.counts))

    # reading

    @property
    def phase(self) -> str:
        return self.status.get("phase", "")

    @property
    def stable(self) -> int | None:
        stable = self.status.get("stable")
        return stable["version"] if stable else None

    @property
    def rollout(self) -> dict[str, Any]:
        return self.status.get("rollout") or {}

    @property
    def last(self) -> dict[str, Any]:
        return self.status.get("lastAttempt") or {}

    def told(self, reason: str) -> builtins.list[str]:
        return [event.note for event in self.events if event.reason == reason]

    def condition(self, type_: str) -> dict[str, Any]:
        return next(c for c in self.status["conditions"] if c["type"] == type_)


class _Clock:
    def __init__(self, world: World) -> None:
        self.world = world

    def now(self) -> datetime:
        return self.world.now


@cache
def _table(text: str) -> RouteTable:
    return codec.loads(RouteTable, text)


def _merge(live: Any, wanted: Any) -> Any:
    if isinstance(live, dict) and isinstance(wanted, dict):
        return {
            k: _merge(live.get(k), wanted[k]) if k in wanted else live[k]
            for k in {**live, **wanted}
        }
    return copy.deepcopy(wanted)


def _pod(name: str, labels: dict[str, str], *, is_ready: bool) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": labels, "annotations": {}},
        "status": {
            "phase": "Running",
            "podIP": name,
            "conditions": [{"type": "Ready", "status": "True" if is_ready else "False"}],
        },
    }


def _router_pod(router: Router) -> dict[str, Any]:
    labels = {naming.DEPLOYMENT_LABEL: NAME, naming.COMPONENT_LABEL: "router"}
    pod = _pod(router.name, labels, is_ready=router.is_ready)
    pod["metadata"]["annotations"][naming.ROUTES_ANNOTATION] = router.poked
    if router.is_leaving:
        pod["metadata"]["deletionTimestamp"] = "2026-01-01T12:00:00Z"
    return pod


def _serving_pod(revision: str, index: int, *, is_ready: bool) -> dict[str, Any]:
    labels = {
        naming.DEPLOYMENT_LABEL: NAME,
        naming.COMPONENT_LABEL: "serving",
        naming.REVISION_LABEL: revision,
    }
    pod = _pod(f"{revision}-{index}", labels, is_ready=is_ready)
    if not is_ready:
        pod["status"]["containerStatuses"] = [
            {
                "name": "serving",
                "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "x"}},
            }
        ]
    return pod


def _let_run(pods: builtins.list[dict[str, Any]]) -> None:
    """Have containers that are not ready run instead of crash."""
    for pod in pods:
        for container in pod["status"].get("containerStatuses", ()):
            container["state"] = {"running": {}}
