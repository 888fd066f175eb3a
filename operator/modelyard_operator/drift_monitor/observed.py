"""What is read for a DriftMonitor: the deployment, the training's answers, the monitor's report."""

from dataclasses import dataclass
from datetime import datetime

from modelyard_core import codec
from modelyard_core.errors import Rejected
from modelyard_core.watch import Report
from modelyard_operator.api import resources
from modelyard_operator.api.resources import Obj
from modelyard_operator.api.v1alpha1.drift_monitor import DriftMonitor
from modelyard_operator.drift_monitor import watching
from modelyard_operator.kind import Key
from modelyard_operator.ports import Ports


@dataclass(frozen=True, slots=True)
class Attempt:
    """The rollout that ended last."""

    version: int
    outcome: str
    reason: str
    finished_at: datetime


@dataclass(frozen=True, slots=True)
class Served:
    """The stable revision of the deployment."""

    revision: str
    version: int
    digest: str


@dataclass(frozen=True, slots=True)
class Deployment:
    """The part of a ModelDeployment that decisions use."""

    training: str
    pinned: int | None = None
    """The version that it is pinned to."""
    served: Served | None = None
    in_rollout: bool = False
    last_attempt: Attempt | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a ModelTraining has made of one request."""

    token: str
    at: datetime
    outcome: str
    reason: str
    run: str | None = None
    version: int | None = None
    verdict: str | None = None


@dataclass(frozen=True, slots=True)
class Observed:
    """One instant of the world around a DriftMonitor."""

    now: datetime
    deployment: Deployment | None = None
    has_training: bool = False
    """Whether the training of `spec.retrain` exists."""
    answers: tuple[Answer, ...] = ()
    """To requests of drift, oldest first."""
    report: Report | None = None
    """None: nothing was asked, or the monitor did not answer, or it refused."""
    refusal: str = ""
    """Why the monitor will not watch this."""

    @property
    def served(self) -> Served | None:
        """The stable revision, if there is a deployment and it has one."""
        return self.deployment.served if self.deployment else None

    def answer(self, token: str) -> Answer | None:
        """Return what the training has made of a request."""
        return next((a for a in reversed(self.answers) if a.token == token), None)


async def observe(monitor: DriftMonitor, ports: Ports) -> Observed:
    """Read everything that a decision about this monitor needs; tell the service what to watch."""
    namespace, spec = monitor.metadata.namespace, monitor.spec
    found = await ports.cluster.get(resources.MODEL_DEPLOYMENT, namespace, spec.deployment)
    deployment = read_deployment(found) if found else None
    training = None
    if spec.retrain is not None:
        training = await ports.cluster.get(
            resources.MODEL_TRAINING, namespace, spec.retrain.training
        )
    answers = read_answers(training) if training else ()
    report, refusal = None, ""
    if deployment is not None and deployment.served is not None:
        served = deployment.served
        watch = watching.watch(
            monitor,
            watching.Subject(served.revision, served.version, served.digest),
            [answer.token for answer in answers],
        )
        try:
            report = await ports.monitor.put_watch(namespace, monitor.metadata.name, watch)
        except Rejected as error:
            refusal = error.sentence
    return Observed(
        now=ports.clock.now().replace(microsecond=0),
        deployment=deployment,
        has_training=training is not None,
        answers=answers,
        report=report,
        refusal=refusal,
    )


async def forget(key: Key, ports: Ports) -> None:
    """End the watch of a monitor that has gone."""
    await ports.monitor.delete_watch(key.namespace, key.name)


def read_deployment(obj: Obj) -> Deployment:
    """Return the part of a ModelDeployment that decisions use."""
    model, status = obj["spec"]["model"], obj.get("status", {})
    stable, attempt = status.get("stable"), status.get("lastAttempt")
    return Deployment(
        training=model["training"],
        pinned=model.get("version"),
        served=(
            Served(stable["revision"], stable["version"], stable["digest"]) if stable else None
        ),
        in_rollout=bool(status.get("rollout")),
        last_attempt=(
            Attempt(
                version=attempt["version"],
                outcome=attempt["outcome"],
                reason=attempt.get("reason", ""),
                finished_at=codec.parse_time(attempt["finishedAt"]),
            )
            if attempt
            else None
        ),
    )


def read_answers(training: Obj) -> tuple[Answer, ...]:
    """Return what a ModelTraining has made of requests of drift, oldest first."""
    requests: list[Obj] = training.get("status", {}).get("requests", [])
    return tuple(
        Answer(
            token=request["token"],
            at=codec.parse_time(request["at"]),
            outcome=request["outcome"],
            reason=request.get("reason", ""),
            run=request.get("run"),
            version=request.get("version"),
            verdict=request.get("verdict"),
        )
        for request in requests
        if request["source"] == "Drift"
    )
