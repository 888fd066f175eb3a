"""What is read for a ModelTraining: its children, its versions, its data, those who ask for it."""

import asyncio
import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from modelyard_core import canonical, codec
from modelyard_core.runs import Verdict
from modelyard_operator import naming
from modelyard_operator.api import resources
from modelyard_operator.api.resources import Obj
from modelyard_operator.api.v1alpha1.model_training import ModelTraining
from modelyard_operator.ports import Cluster, Images, Ports

REQUEST_ANNOTATION = "modelyard.dev/request"
"""On a run's children: which request they answer, so that a repeated run is told from the last."""
CONTAINER = "trainer"


@dataclass(frozen=True, slots=True)
class Job:
    """The Job of a run."""

    name: str
    uid: str
    request: str
    created_at: datetime
    image: str = ""
    suspended: bool = False
    started_at: datetime | None = None
    failed_pods: int = 0
    complete: bool = False
    failed: bool = False
    failure: str = ""
    """The reason of the condition Failed."""
    failure_message: str = ""
    deleting: bool = False

    @property
    def is_finished(self) -> bool:
        """Whether the Job will start no more pods."""
        return self.complete or self.failed


@dataclass(frozen=True, slots=True)
class RunConfig:
    """The ConfigMap of a run."""

    name: str
    uid: str
    request: str
    deleting: bool = False


@dataclass(frozen=True, slots=True)
class Pod:
    """One attempt of the run in flight."""

    uid: str
    name: str
    created_at: datetime
    has_started: bool = False
    """The container runs or has run."""
    obstacle: str = ""
    """Why it has not started, in the words of the scheduler or the kubelet."""
    exit_code: int | None = None
    exit_reason: str = ""
    message: str = ""
    """The container's termination message."""
    disrupted: bool = False
    """Evicted, preempted or drained."""


@dataclass(frozen=True, slots=True)
class Version:
    """A ModelVersion of this training."""

    number: int
    digest: str
    uri: str
    run_key: str
    run: str
    verdict: Verdict
    phase: str = ""
    metric: str = ""
    verdict_reason: str = ""


@dataclass(frozen=True, slots=True)
class DriftRequest:
    """What a DriftMonitor asks for."""

    monitor: str
    id: str
    at: datetime | None = None
    served_digest: str = ""


@dataclass(frozen=True, slots=True)
class Data:
    """What the operator itself knows of the training data."""

    digest: str | None = None
    """Digest of the bytes; None where only the Job can read them."""
    problem: str = ""
    """One sentence where the data is known to be absent."""


@dataclass(frozen=True, slots=True)
class Observed:
    """One instant of the world around a ModelTraining."""

    now: datetime
    images: Images
    store_claim: str
    jobs: tuple[Job, ...] = ()
    configs: tuple[RunConfig, ...] = ()
    pods: tuple[Pod, ...] = ()
    """Pods of the run in flight, oldest first."""
    versions: tuple[Version, ...] = ()
    """By number."""
    drift: tuple[DriftRequest, ...] = ()
    served_digests: frozenset[str] = frozenset()
    data: Data = Data()

    def job(self, name: str) -> Job | None:
        """Return the Job of a run."""
        return next((job for job in self.jobs if job.name == name), None)

    def config(self, name: str) -> RunConfig | None:
        """Return the ConfigMap of a run."""
        return next((config for config in self.configs if config.name == name), None)

    @property
    def champion(self) -> Version | None:
        """The newest version that serves, else the newest blessed one."""
        serving = [v for v in self.versions if v.phase == "Serving"]
        blessed = [v for v in self.versions if v.verdict is Verdict.BLESSED]
        candidates = serving or blessed
        return candidates[-1] if candidates else None


async def observe(training: ModelTraining, ports: Ports) -> Observed:
    """Read everything that a decision about this training needs."""
    namespace, name = training.metadata.namespace, training.metadata.name
    cluster = ports.cluster
    labels = naming.MANAGED_BY | {naming.TRAINING_LABEL: name}
    owned = training.metadata.uid
    jobs, configs, versions, monitors, deployments, data = await asyncio.gather(
        cluster.list(resources.JOB, namespace, labels),
        cluster.list(resources.CONFIG_MAP, namespace, labels),
        cluster.list(resources.MODEL_VERSION, namespace, labels),
        cluster.list(resources.DRIFT_MONITOR, namespace),
        cluster.list(resources.MODEL_DEPLOYMENT, namespace),
        _read_data(training, cluster),
    )
    run = training.status.run if training.status else None
    job = next((j for j in jobs if run and j["metadata"]["name"] == run.name), None)
    pods = (
        await cluster.list(resources.POD, namespace, labels | {naming.RUN_LABEL: run.name})
        if run and job
        else ()
    )
    return Observed(
        now=ports.clock.now().replace(microsecond=0),
        images=ports.images,
        store_claim=ports.default_store_claim,
        jobs=tuple(read_job(each) for each in jobs if _is_owned(each, owned)),
        configs=tuple(_read_config(each) for each in configs if _is_owned(each, owned)),
        pods=read_pods(each for each in pods if job and _is_owned(each, job["metadata"]["uid"])),
        versions=read_versions(versions, name),
        drift=read_drift(monitors, name),
        served_digests=frozenset(filter(None, map(_stable_digest, deployments))),
        data=data,
    )


def _is_owned(obj: Obj, uid: str) -> bool:
    owners = obj["metadata"].get("ownerReferences", [])
    return any(owner.get("controller") and owner["uid"] == uid for owner in owners)


def _time(text: str | None) -> datetime | None:
    return codec.parse_time(text) if text else None


def read_job(obj: Obj) -> Job:
    """Return the part of a Job that decisions use."""
    meta, spec, status = obj["metadata"], obj.get("spec", {}), obj.get("status", {})
    held = {c["type"]: c for c in status.get("conditions", []) if c["status"] == "True"}
    failed = held.get("Failed", {})
    containers = spec.get("template", {}).get("spec", {}).get("containers", [])
    return Job(
        name=meta["name"],
        uid=meta["uid"],
        request=meta.get("annotations", {}).get(REQUEST_ANNOTATION, ""),
        created_at=codec.parse_time(meta["creationTimestamp"]),
        image=next((c["image"] for c in containers if c["name"] == CONTAINER), ""),
        suspended=bool(spec.get("suspend")),
        started_at=_time(status.get("startTime")),
        failed_pods=status.get("failed", 0),
        complete="Complete" in held,
        failed="Failed" in held,
        failure=failed.get("reason", ""),
        failure_message=failed.get("message", ""),
        deleting="deletionTimestamp" in meta,
    )


def _read_config(obj: Obj) -> RunConfig:
    meta = obj["metadata"]
    return RunConfig(
        name=meta["name"],
        uid=meta["uid"],
        request=meta.get("annotations", {}).get(REQUEST_ANNOTATION, ""),
        deleting="deletionTimestamp" in meta,
    )


def read_pods(objs: Iterable[Obj]) -> tuple[Pod, ...]:
    """Return the attempts of a run, oldest first."""
    pods = (_read_pod(obj) for obj in objs)
    return tuple(sorted(pods, key=lambda pod: (pod.created_at, pod.uid)))


def _read_pod(obj: Obj) -> Pod:
    meta, status = obj["metadata"], obj.get("status", {})
    container: Obj = next(
        (c for c in status.get("containerStatuses", []) if c["name"] == CONTAINER), {}
    )
    state: Obj = container.get("state", {})
    terminated: Obj = state.get("terminated", {})
    conditions = {c["type"]: c for c in status.get("conditions", [])}
    return Pod(
        uid=meta["uid"],
        name=meta["name"],
        created_at=codec.parse_time(meta["creationTimestamp"]),
        has_started="running" in state or "terminated" in state,
        obstacle=_obstacle(conditions.get("PodScheduled", {}), state.get("waiting", {})),
        exit_code=terminated.get("exitCode"),
        exit_reason=terminated.get("reason", ""),
        message=terminated.get("message", ""),
        disrupted=conditions.get("DisruptionTarget", {}).get("status") == "True",
    )


def _obstacle(scheduled: Mapping[str, str], waiting: Mapping[str, str]) -> str:
    """Return what keeps a pod from starting; the first steps of every pod are no obstacle."""
    if scheduled.get("status") == "False":
        return _joined(scheduled.get("reason", ""), scheduled.get("message", ""))
    if waiting.get("reason") in (None, "ContainerCreating", "PodInitializing"):
        return ""
    return _joined(waiting["reason"], waiting.get("message", ""))


def _joined(reason: str, message: str) -> str:
    text = ": ".join(filter(None, (reason, message)))
    return text[:300].rstrip(".")


def read_versions(objs: Iterable[Obj], training: str) -> tuple[Version, ...]:
    """Return the versions of one training, by number."""
    mine = (_read_version(obj) for obj in objs if obj["spec"]["training"] == training)
    return tuple(sorted(mine, key=lambda version: version.number))


def _read_version(obj: Obj) -> Version:
    spec = obj["spec"]
    headline = spec.get("headline", "")
    value = spec.get("metrics", {}).get(headline, "")
    return Version(
        number=spec["version"],
        digest=spec["digest"],
        uri=spec["uri"],
        run_key=spec["runKey"],
        run=spec["run"],
        verdict=Verdict(spec["verdict"]),
        phase=obj.get("status", {}).get("phase", ""),
        metric=f"{headline} {float(value):.4g}" if value else "",
        verdict_reason=spec.get("verdictReason", ""),
    )


def read_drift(objs: Iterable[Obj], training: str) -> tuple[DriftRequest, ...]:
    """Return what the DriftMonitors ask of one training, by monitor."""
    asked = (
        (obj["metadata"]["name"], obj.get("status", {}).get("retrainRequest"))
        for obj in objs
        if (obj["spec"].get("retrain") or {}).get("training") == training
    )
    return tuple(
        DriftRequest(
            monitor=monitor,
            id=request["id"],
            at=_time(request.get("requestedAt")),
            served_digest=request.get("servedDigest", ""),
        )
        for monitor, request in sorted(asked, key=lambda pair: pair[0])
        if request
    )


def _stable_digest(obj: Obj) -> str | None:
    stable: Obj = obj.get("status", {}).get("stable") or {}
    return stable.get("digest")


async def _read_data(training: ModelTraining, cluster: Cluster) -> Data:
    """Return the digest of data in a ConfigMap; a pinned digest is as good as a read one."""
    data = training.spec.data
    source = data.train.config_map
    if source is None:
        return Data(digest=data.expected_digest)
    obj = await cluster.get(resources.CONFIG_MAP, training.metadata.namespace, source.name)
    if obj is None:
        return Data(problem=f"ConfigMap {source.name} does not exist")
    content = _content(obj, source.path)
    if content is None:
        return Data(problem=f"ConfigMap {source.name} has no key {source.path}")
    return Data(digest=canonical.digest_bytes(content))


def _content(obj: Obj, key: str) -> bytes | None:
    text = (obj.get("data") or {}).get(key)
    if text is not None:
        return str(text).encode()
    encoded = (obj.get("binaryData") or {}).get(key)
    return None if encoded is None else base64.b64decode(encoded)
