"""The run in flight: from a granted request to a version or a failure.

Pure.  Everything starts again from what is seen: a Job that vanished is made again, and finds the
bundle that it had finished by its run key.
"""

from dataclasses import dataclass
from datetime import timedelta

from modelyard_core.durations import parse_duration
from modelyard_core.reasons import Reason, Severity
from modelyard_core.runs import ExitCode
from modelyard_operator.actions import Action, Create, Delete
from modelyard_operator.api import resources
from modelyard_operator.api.v1alpha1.model_training import ModelTraining
from modelyard_operator.api.v1alpha1.training_status import RunStatus
from modelyard_operator.model_training import endings, reasons, render, run_key
from modelyard_operator.model_training.endings import Ended
from modelyard_operator.model_training.ledger import Ledger, request_id
from modelyard_operator.model_training.observed import Job, Observed, Pod

MAX_DISRUPTIONS = 10
MAX_RESTARTS = 3
RECHECK = timedelta(seconds=5)
AT_ONCE = timedelta(0)


@dataclass(frozen=True, slots=True)
class Progress:
    """The run goes on."""

    run: RunStatus
    reason: Reason
    actions: tuple[Action, ...] = ()
    requeue_after: timedelta | None = None


def advance(
    training: ModelTraining, ledger: Ledger, run: RunStatus, world: Observed
) -> Progress | Ended:
    """Return what the run in flight does now."""
    version = next((v for v in world.versions if v.run_key == run.key), None)
    if version is not None:
        return endings.with_version(run, version, world)
    job = world.job(run.name)
    if job is None:
        return _start(training, run, world)
    if job.request != request_id(run.token, run.started_at):
        return _replace(run, training, job)
    if job.complete:
        return _harvest(training, ledger, run, job, world)
    if job.failed:
        return Ended(endings.failure(training, run, job, world))
    return _watch(training, run, job, world)


def _start(training: ModelTraining, run: RunStatus, world: Observed) -> Progress:
    """Make the ConfigMap and the Job; a key whose spec has moved on before that moves too."""
    config = world.config(run.name)
    mine = request_id(run.token, run.started_at)
    if config is not None and config.request != mine:
        stale = Delete(resources.CONFIG_MAP, training.metadata.namespace, config.name, config.uid)
        return Progress(run, _replacing(run), () if config.deleting else (stale,), RECHECK)
    image = training.spec.runtime.image or world.images.training
    key = run_key.of_run(training.spec, image, world.data.digest, run)
    if config is None and key != run.key:
        name = render.run_name(training, key)
        moved = run.model_copy(update={"key": key, "name": name})
        return Progress(moved, _starting(moved), (), AT_ONCE)
    job = Create(render.job(training, run, world))
    actions = (job,) if config else (Create(render.config(training, run, world)), job)
    return Progress(run, _starting(run), actions)


def _starting(run: RunStatus) -> Reason:
    return Reason(reasons.RUN_STARTING, run.name, f"Run {run.name} is being started.")


def _replace(run: RunStatus, training: ModelTraining, job: Job) -> Progress:
    """Remove the Job of an earlier run of the same name."""
    stale = Delete(resources.JOB, training.metadata.namespace, job.name, job.uid)
    return Progress(run, _replacing(run), () if job.deleting else (stale,), RECHECK)


def _replacing(run: RunStatus) -> Reason:
    return Reason(
        reasons.RUN_REPLACING, run.name, f"Run {run.name} replaces an earlier run of the same key."
    )


# The Job is complete: from its report to a version


def _harvest(
    training: ModelTraining, ledger: Ledger, run: RunStatus, job: Job, world: Observed
) -> Progress | Ended:
    pod = next((p for p in reversed(world.pods) if p.exit_code == ExitCode.DONE), None)
    if pod is None:
        return _lost(training, run, job, world)
    report = endings.read_report(pod)
    if report is None or report.run_key != run.key:
        return Ended(endings.unreadable(run, world))
    known = next((v for v in world.versions if v.digest == report.digest), None)
    if known is not None:
        return endings.with_known(run, known, world)
    if report.digest is None or report.uri is None or report.verdict is None:
        return Ended(endings.unreadable(run, world))
    number = max([ledger.last_version, *(v.number for v in world.versions)]) + 1
    version = Create(render.version(training, run, report, number=number, image=job.image))
    reason = Reason(
        reasons.RUN_REGISTERING,
        run.name,
        f"Run {run.name} is done; its model becomes version {number}.",
    )
    return Progress(run, reason, (version,), AT_ONCE)


def _lost(training: ModelTraining, run: RunStatus, job: Job, world: Observed) -> Progress | Ended:
    """Run the Job again: it finds its bundle and reports it."""
    if run.restarts >= MAX_RESTARTS:
        return Ended(endings.lost(run, world))
    reason = Reason(
        reasons.RESULT_LOST,
        run.name,
        f"Run {run.name} is done, but its pod was deleted before the result could be read; "
        "it is started again and will find its bundle.",
        Severity.WARNING,
    )
    if job.deleting:
        return Progress(run, reason, (), RECHECK)
    again = Delete(resources.JOB, training.metadata.namespace, job.name, job.uid)
    restarted = run.model_copy(update={"restarts": run.restarts + 1})
    return Progress(restarted, reason, (again,), RECHECK)


# The Job is under way


def _watch(training: ModelTraining, run: RunStatus, job: Job, world: Observed) -> Progress | Ended:
    pod = world.pods[-1] if world.pods else None
    run = _counted(run, pod)
    disruptions = run.pods - 1 - job.failed_pods
    if disruptions > MAX_DISRUPTIONS:
        return Ended(endings.disrupted(run, world, disruptions))
    if job.suspended:
        return Progress(
            run,
            Reason(
                reasons.RUN_QUEUED,
                run.name,
                f"Run {run.name} is queued: its Job is suspended.",
                since=job.created_at,
            ),
        )
    if pod is not None and pod.has_started:
        return Progress(run, _running(run, job))
    return _awaited(training, run, job, pod, world)


def _counted(run: RunStatus, pod: Pod | None) -> RunStatus:
    """Count pods by their uid: disrupted ones leave no other trace."""
    if pod is None or pod.uid == run.pod:
        return run
    return run.model_copy(update={"pod": pod.uid, "pods": run.pods + 1})


def _running(run: RunStatus, job: Job) -> Reason:
    again = f", attempt {job.failed_pods + 1}" if job.failed_pods else ""
    return Reason(
        reasons.RUN_RUNNING,
        run.name,
        f"Run {run.name} is training{again}.",
        since=job.started_at or job.created_at,
    )


def _awaited(
    training: ModelTraining, run: RunStatus, job: Job, pod: Pod | None, world: Observed
) -> Progress | Ended:
    """No container runs yet: say why, and give up after the start timeout."""
    timeout = parse_duration(training.spec.runtime.start_timeout)
    since = pod.created_at if pod else job.started_at or job.created_at
    obstacle = _what_is_in_the_way(pod)
    if world.now - since >= timeout:
        return Ended(endings.not_started(run, world, timeout, obstacle))
    is_stuck = pod is not None and bool(pod.obstacle)
    reason = Reason(
        reasons.RUN_WAITING,
        run.name,
        f"Run {run.name} waits for its container: {obstacle}.",
        Severity.WARNING if is_stuck else Severity.INFO,
        since=since,
        eta=since + timeout,
    )
    return Progress(run, reason, (), since + timeout - world.now)


def _what_is_in_the_way(pod: Pod | None) -> str:
    if pod is None:
        return "no pod has been created; a quota may be used up"
    return pod.obstacle or "it is being created"
