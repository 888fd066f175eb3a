"""How an attempt moves: one transition a pass, from what is persisted and what is seen.  Pure.

The functions take the state and return the state after this pass.  What it means for pods and
routers is decided elsewhere, from the state alone.
"""

from datetime import datetime

from modelyard_core.durations import format_duration, parse_duration
from modelyard_operator.api.v1alpha1.model_deployment import ModelDeploymentStatus
from modelyard_operator.api.v1alpha1.revision import RevisionRecord, StableStatus
from modelyard_operator.api.v1alpha1.rollout_status import (
    AttemptRecord,
    Finding,
    Outcome,
    PauseReason,
    PauseStatus,
    Phase,
    RolloutStatus,
    Stage,
    Start,
    StepStatus,
)
from modelyard_operator.model_deployment import analysis, measuring, reasons
from modelyard_operator.model_deployment.scene import Scene
from modelyard_operator.model_deployment.state import evolve

MAX_ATTEMPTS = 10
MAX_ABORTED = 32


def advance(status: ModelDeploymentStatus, scene: Scene) -> ModelDeploymentStatus:
    """Return the state after at most one transition."""
    rollout = status.rollout
    if rollout is None:
        return begin(status, scene)
    if (turned := _turned_away(status, rollout, scene)) is not None:
        return evolve(status, rollout=turned)
    match rollout.stage:
        case Stage.PROVISIONING:
            return evolve(status, rollout=_provision(rollout, scene))
        case Stage.STEPPING:
            return evolve(status, rollout=_step(rollout, scene))
        case Stage.PROMOTING:
            return _promote(status, rollout, scene)
        case Stage.ABORTING:
            return _finish_abort(status, rollout, scene)


def begin(status: ModelDeploymentStatus, scene: Scene) -> ModelDeploymentStatus:
    """Return the state with a new attempt, where one is due."""
    record = scene.target.record
    if record is None or scene.is_suspended or not _is_due(status, record):
        return status
    number = status.attempt + 1
    rollout = RolloutStatus(
        attempt=number,
        start=_start(status, record),
        revision=record.name,
        version=record.version,
        stage=Stage.PROVISIONING,
        phase=Phase.PROVISIONING,
        started_at=scene.now,
        strategy=scene.obj.spec.rollout,
    )
    known = tuple(r for r in status.revisions if r.name != record.name)
    return evolve(
        status,
        attempt=number,
        rollout=rollout,
        revisions=(record, *known),
        draining=tuple(d for d in status.draining if d.revision != record.name),
    )


def _is_due(status: ModelDeploymentStatus, record: RevisionRecord) -> bool:
    if status.stable is not None and status.stable.revision == record.name:
        return False
    return record.name not in status.aborted_revisions


def _start(status: ModelDeploymentStatus, record: RevisionRecord) -> Start:
    if status.stable is None:
        return Start.INITIAL
    return Start.ROLLBACK if record.promoted_at is not None else Start.CANARY


def _turned_away(
    status: ModelDeploymentStatus, rollout: RolloutStatus, scene: Scene
) -> RolloutStatus | None:
    """Return the attempt on its way out, if the spec asks for another revision by now."""
    record = scene.target.record
    if record is None or scene.is_suspended or record.name == rollout.revision:
        return None
    if rollout.stage not in (Stage.PROVISIONING, Stage.STEPPING):
        return None
    if status.stable is not None and status.stable.revision == record.name:
        sentence = f"the spec asks for {record.name} again, which serves"
        return wind_up(rollout, Outcome.ROLLED_BACK, reasons.SPEC_ROLLED_BACK, sentence)
    sentence = f"{record.name} (v{record.version}) is newer"
    return wind_up(rollout, Outcome.SUPERSEDED, reasons.NEWER_REVISION, sentence)


def wind_up(rollout: RolloutStatus, outcome: Outcome, reason: str, message: str) -> RolloutStatus:
    """Return the attempt on its way out: from now on its candidate gets no traffic."""
    return evolve(
        rollout,
        stage=Stage.ABORTING,
        outcome=outcome,
        reason=reason,
        message=message[:1024],
        pause=None,
    )


def _provision(rollout: RolloutStatus, scene: Scene) -> RolloutStatus:
    if scene.is_suspended:
        return rollout
    if scene.is_complete(rollout.revision):
        if rollout.start is Start.CANARY:
            return enter_step(rollout, 0, scene)
        return take_all(rollout)
    if rollout.start is not Start.INITIAL and is_late(rollout, rollout.started_at, scene):
        trouble = scene.seen.trouble(rollout.revision) or "its pods say nothing"
        sentence = f"no ready pods within {rollout.strategy.progress_deadline}: {trouble}"
        return wind_up(rollout, Outcome.ABORTED, reasons.PROGRESS_DEADLINE_EXCEEDED, sentence)
    return rollout


def is_late(rollout: RolloutStatus, since: datetime, scene: Scene) -> bool:
    """Return whether the progress deadline is over."""
    return scene.now - since >= parse_duration(rollout.strategy.progress_deadline)


def enter_step(rollout: RolloutStatus, index: int, scene: Scene) -> RolloutStatus:
    """Return the attempt at the start of a step, or on its way to stable after the last one."""
    ladder = rollout.strategy.ladder
    if index >= len(ladder):
        return take_all(rollout)
    gate = PauseStatus(reason=PauseReason.MANUAL_GATE, since=scene.now)
    return evolve(
        rollout,
        stage=Stage.STEPPING,
        step=StepStatus(index=index, entered_at=scene.now),
        pause=gate if ladder[index].pause is not None else None,
        analysis=analysis.fresh(rollout.strategy.analysis, rollout.analysis),
        cursors=(),
    )


def take_all(rollout: RolloutStatus) -> RolloutStatus:
    """Return the attempt on its way to stable.  Counting starts anew: all traffic is live now."""
    return evolve(rollout, stage=Stage.PROMOTING, pause=None, cursors=())


def _step(rollout: RolloutStatus, scene: Scene) -> RolloutStatus:
    """Return the attempt after one look: harm first, then obstacles, then progress."""
    measured = measuring.measure(rollout, scene)
    if measured.verdict is not None:
        return wind_up(measured.rollout, Outcome.ABORTED, *measured.verdict)
    rollout = _blocked(measured.rollout, scene)
    if rollout.stage is Stage.ABORTING or scene.is_suspended:
        return rollout
    if rollout.step is None or rollout.step.started_at is None:
        return _begin_counting(rollout, scene)
    if rollout.pause is not None and rollout.pause.reason is not PauseReason.INSUFFICIENT_DATA:
        return rollout
    if _has_passed(rollout) and scene.is_complete(rollout.revision) and scene.is_applied:
        return enter_step(rollout, rollout.step.index + 1, scene)
    return _out_of_patience(rollout, scene)


def _has_passed(rollout: RolloutStatus) -> bool:
    return bool(rollout.analysis) and all(
        check.decision is Finding.PASSING for check in rollout.analysis
    )


def _blocked(rollout: RolloutStatus, scene: Scene) -> RolloutStatus:
    """Return the attempt with its note about a candidate without ready pods, kept or cleared."""
    step = rollout.step
    assert step is not None, "a stepping attempt has a step"
    if scene.seen.ready(rollout.revision):
        cleared = step if step.blocked_since is None else evolve(step, blocked_since=None)
        return evolve(rollout, step=cleared)
    since = step.blocked_since or scene.now
    if is_late(rollout, since, scene):
        trouble = scene.seen.trouble(rollout.revision) or "its pods say nothing"
        sentence = f"no ready pod for {rollout.strategy.progress_deadline}: {trouble}"
        return wind_up(rollout, Outcome.ABORTED, reasons.CANDIDATE_NOT_READY, sentence)
    # its traffic is gone: when it comes back, this step's counting starts again
    return evolve(rollout, step=evolve(step, blocked_since=since, started_at=None), cursors=())


def _begin_counting(rollout: RolloutStatus, scene: Scene) -> RolloutStatus:
    step = rollout.step
    assert step is not None, "a stepping attempt has a step"
    if scene.is_applied and step.blocked_since is None:
        return measuring.start(rollout, scene)
    if step.blocked_since is None and is_late(rollout, step.entered_at, scene):
        sentence = (
            f"{scene.routers.confirmed} of {scene.routers.wanted} routers confirmed the traffic of "
            f"step {step.index + 1} within {rollout.strategy.progress_deadline}: "
            f"{scene.routers.waiting or 'they say nothing'}"
        )
        return wind_up(rollout, Outcome.ABORTED, reasons.TRAFFIC_NOT_APPLIED, sentence)
    return rollout


def _out_of_patience(rollout: RolloutStatus, scene: Scene) -> RolloutStatus:
    """Return the attempt paused or on its way out when a step stays undecided for too long."""
    step, limits = rollout.step, rollout.strategy.analysis
    assert step is not None, "a stepping attempt has a step"
    if step.started_at is None or scene.now - step.started_at < limits.patience:
        return rollout
    if limits.on_insufficient_data == "Abort":
        seen = ", ".join(f"{c.name} {c.decision} after {c.n_canary}" for c in rollout.analysis)
        sentence = (
            f"step {step.index + 1} stayed undecided for {format_duration(limits.patience)}: "
            f"{seen} requests"
        )
        return wind_up(rollout, Outcome.ABORTED, reasons.INSUFFICIENT_DATA, sentence)
    if rollout.pause is not None:
        return rollout
    pause = PauseStatus(reason=PauseReason.INSUFFICIENT_DATA, since=scene.now)
    return evolve(rollout, pause=pause)


def _promote(
    status: ModelDeploymentStatus, rollout: RolloutStatus, scene: Scene
) -> ModelDeploymentStatus:
    """Return the state with a new stable: the one place where it moves."""
    measured = measuring.measure(rollout, scene)
    if measured.verdict is not None and status.stable is not None:
        return evolve(status, rollout=wind_up(measured.rollout, Outcome.ABORTED, *measured.verdict))
    if not scene.seen.ready(rollout.revision):
        return evolve(status, rollout=_lost(status, rollout, scene))
    if not scene.is_applied or scene.is_suspended:
        return evolve(status, rollout=measured.rollout)
    record = next(r for r in status.revisions if r.name == rollout.revision)
    promoted = evolve(record, promoted_at=scene.now)
    stable = StableStatus(
        revision=record.name,
        version=record.version,
        model_version=record.model_version,
        digest=record.digest,
        promoted_at=scene.now,
    )
    others = tuple(r for r in status.revisions if r.name != record.name)
    ended = evolve(measured.rollout, outcome=Outcome.PROMOTED, reason=_why_promoted(rollout))
    return evolve(
        _ended(status, ended, scene),
        stable=stable,
        revisions=(promoted, *others),
        aborted_revisions=tuple(n for n in status.aborted_revisions if n != record.name),
    )


def _why_promoted(rollout: RolloutStatus) -> str:
    if rollout.reason:
        return rollout.reason
    return {
        Start.INITIAL: reasons.FIRST_REVISION,
        Start.ROLLBACK: reasons.STABLE_BEFORE,
        Start.CANARY: reasons.EVERY_STEP_PASSED,
    }[rollout.start]


def _lost(status: ModelDeploymentStatus, rollout: RolloutStatus, scene: Scene) -> RolloutStatus:
    """Return the attempt whose candidate lost its pods at the last moment."""
    if status.stable is None:
        return evolve(rollout, stage=Stage.PROVISIONING)
    trouble = scene.seen.trouble(rollout.revision) or "its pods say nothing"
    sentence = f"no ready pod while it was being promoted: {trouble}"
    return wind_up(rollout, Outcome.ABORTED, reasons.CANDIDATE_NOT_READY, sentence)


def _finish_abort(
    status: ModelDeploymentStatus, rollout: RolloutStatus, scene: Scene
) -> ModelDeploymentStatus:
    if status.stable is not None and not (scene.is_applied and _is_off(scene)):
        return status
    ended = _ended(status, rollout, scene)
    if rollout.outcome is not Outcome.ABORTED:
        return ended
    others = tuple(name for name in status.aborted_revisions if name != rollout.revision)
    return evolve(ended, aborted_revisions=(rollout.revision, *others)[:MAX_ABORTED])


def _is_off(scene: Scene) -> bool:
    """Return whether the routers no longer know the candidate."""
    live = scene.seen.routes.table if scene.seen.routes else None
    return live is not None and live.canary is None and live.mirror is None


def _ended(
    status: ModelDeploymentStatus, rollout: RolloutStatus, scene: Scene
) -> ModelDeploymentStatus:
    assert rollout.outcome is not None, "an attempt ends with an outcome"
    record = AttemptRecord(
        attempt=rollout.attempt,
        revision=rollout.revision,
        version=rollout.version,
        start=rollout.start,
        outcome=rollout.outcome,
        reason=rollout.reason,
        message=rollout.message,
        started_at=rollout.started_at,
        finished_at=scene.now,
        analysis=rollout.analysis,
    )
    earlier = (evolve(record, analysis=()), *status.attempts)[:MAX_ATTEMPTS]
    return evolve(status, rollout=None, last_attempt=record, attempts=earlier)
