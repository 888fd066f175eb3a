"""What lives on and what goes: draining revisions, and how much is remembered.  Pure."""

from collections.abc import Iterable

from modelyard_core.durations import parse_duration
from modelyard_operator.api.v1alpha1.model_deployment import ModelDeploymentStatus
from modelyard_operator.api.v1alpha1.revision import RevisionRecord
from modelyard_operator.api.v1alpha1.rollout_status import DrainStatus
from modelyard_operator.model_deployment import routes
from modelyard_operator.model_deployment.observed import WorkloadSeen
from modelyard_operator.model_deployment.scene import Scene
from modelyard_operator.model_deployment.state import evolve


def tidy(status: ModelDeploymentStatus, scene: Scene) -> ModelDeploymentStatus:
    """Return the state with its lists of draining and of remembered revisions brought up to date.

    Whatever exists and is not in use drains, also what a crash or a lost status left behind.
    """
    used = _used(status)
    existing = {workload.revision for workload in scene.seen.workloads}
    known = {drain.revision: drain for drain in status.draining}
    draining = tuple(
        _drained(known.get(name, DrainStatus(revision=name)), scene)
        for name in sorted(existing - used)
    )
    kept = _remembered(status, used | {drain.revision for drain in draining}, scene)
    return evolve(status, draining=draining[:32], revisions=kept)


def _used(status: ModelDeploymentStatus) -> set[str]:
    stable = {status.stable.revision} if status.stable else set()
    return stable | ({status.rollout.revision} if status.rollout else set())


def _drained(drain: DrainStatus, scene: Scene) -> DrainStatus:
    """Return the drain with its clock started once no router sends requests any more."""
    live = scene.seen.routes.table if scene.seen.routes else None
    is_named = live is not None and routes.shares_of(live).names(drain.revision)
    if is_named or not scene.routers.is_over:
        return evolve(drain, since=None)
    return drain if drain.since is not None else evolve(drain, since=scene.now)


def _remembered(
    status: ModelDeploymentStatus, needed: set[str], scene: Scene
) -> tuple[RevisionRecord, ...]:
    """Return the records in use, and the newest others as far as the history goes."""
    room = scene.obj.spec.rollout.revision_history
    others = [record.name for record in status.revisions if record.name not in needed][:room]
    keep = needed | set(others)
    return tuple(record for record in status.revisions if record.name in keep)


def gone(status: ModelDeploymentStatus, scene: Scene) -> Iterable[WorkloadSeen]:
    """Return the workloads whose drain is over."""
    patience = parse_duration(scene.obj.spec.rollout.drain)
    due = {
        drain.revision
        for drain in status.draining
        if drain.since is not None and scene.now - drain.since >= patience
    }
    return [workload for workload in scene.seen.workloads if workload.revision in due]
