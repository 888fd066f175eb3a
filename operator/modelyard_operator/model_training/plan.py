"""What a ModelTraining does now: the run in flight first, then the next wish, then the old Jobs.

Pure and total.  A run is written to the status before anything is made for it, so that after a
crash at any point the next pass makes the same things under the same names.
"""

from dataclasses import dataclass, replace
from datetime import timedelta

from modelyard_core.reasons import Reason
from modelyard_operator.actions import Action, Decision, Delete, Emit
from modelyard_operator.api import resources
from modelyard_operator.api.v1alpha1.model_training import ModelTraining
from modelyard_operator.api.v1alpha1.training_status import Request, RunStatus
from modelyard_operator.model_training import funnel, reasons, render, runs, status
from modelyard_operator.model_training.endings import Ended
from modelyard_operator.model_training.ledger import Ledger
from modelyard_operator.model_training.observed import Observed

KEPT_JOBS = 3
"""Finished runs whose Jobs stay, for their logs."""
AT_ONCE = timedelta(0)


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass has decided so far."""

    ledger: Ledger
    actions: tuple[Action, ...] = ()
    reason: Reason | None = None
    """How the run in flight goes."""
    rechecks: tuple[timedelta, ...] = ()


def decide(training: ModelTraining, world: Observed) -> Decision:
    """Return the writes of this pass and the whole status after it."""
    before = Ledger.read(training.status)
    after = _clean(
        _choose(_progress(Pass(before), training, world), training, world), training, world
    )
    rechecks = after.rechecks
    if (before.run is None) != (after.ledger.run is None) or _name(before) != _name(after.ledger):
        rechecks = (AT_ONCE,)
    return Decision(
        after.actions,
        status.render(training, after.ledger, world, after.reason),
        min(rechecks, default=None),
    )


def _name(ledger: Ledger) -> str:
    return ledger.run.name if ledger.run else ""


def _progress(now: Pass, training: ModelTraining, world: Observed) -> Pass:
    """Move the run in flight on."""
    run = now.ledger.run
    if run is None:
        return now
    step = runs.advance(training, now.ledger, run, world)
    if isinstance(step, Ended):
        told = _told_end(step)
        return replace(now, ledger=now.ledger.end(step.last, is_fit=step.is_fit), actions=(told,))
    return replace(
        now,
        ledger=replace(now.ledger, run=step.run),
        actions=step.actions,
        reason=step.reason,
        rechecks=(step.requeue_after,) if step.requeue_after is not None else (),
    )


def _told_end(step: Ended) -> Emit:
    last = step.last
    return Emit(
        "Normal" if last.succeeded else "Warning",
        last.reason,
        f"{last.sentence} {last.remedy}".strip(),
    )


def _choose(now: Pass, training: ModelTraining, world: Observed) -> Pass:
    """Take in what is newly wished for, and answer the wish that waits."""
    ledger = funnel.take_in(training, now.ledger, world)
    now = replace(now, ledger=ledger)
    wish = ledger.pending
    if wish is None:
        return now
    match funnel.judge(funnel.Case(wish, training, ledger, world)):
        case funnel.Run(key):
            return _grant(now, training, wish, key, world)
        case funnel.Hold(reason, until):
            held = ledger if wish.reason == reason else ledger.amend(wish, reason=reason)
            waits = (until - world.now,) if until else ()
            return replace(now, ledger=held, rechecks=(*now.rechecks, *waits))
        case funnel.Refuse(reason, version):
            refused = ledger.amend(
                wish,
                outcome="Suppressed",
                reason=reason,
                version=version.number if version else None,
                verdict=version.verdict if version else None,
            )
            note = status.refusal(wish, reason, version).sentence
            told = Emit("Normal", reason, note)
            return replace(now, ledger=refused, actions=(*now.actions, told))


def _grant(now: Pass, training: ModelTraining, wish: Request, key: str, world: Observed) -> Pass:
    champion = world.champion
    run = RunStatus(
        name=render.run_name(training, key),
        key=key,
        token=wish.token,
        trigger=wish.source,
        started_at=world.now,
        parent=champion.number if champion else None,
    )
    ledger = now.ledger.amend(wish, outcome="Running", reason=reasons.RUN_STARTING, run=run.name)
    told = Emit("Normal", reasons.RUN_STARTING, f"Run {run.name} starts: {status.why(wish)}.")
    return replace(
        now,
        ledger=ledger.begin(run),
        actions=(*now.actions, told),
        reason=Reason(reasons.RUN_STARTING, run.name, f"Run {run.name} is being started."),
    )


def _clean(now: Pass, training: ModelTraining, world: Observed) -> Pass:
    """Delete the Jobs of runs that were given up, and all but the newest that have ended.

    What the live status says is in flight is left alone: it is over only once that is written.
    They go first, so that a run that was given up has gone before the next one starts.
    """
    live = {_name(Ledger.read(training.status)), _name(now.ledger)}
    others = [job for job in world.jobs if job.name not in live and not job.deleting]
    ended = sorted(
        (job for job in others if job.is_finished), key=lambda job: job.created_at, reverse=True
    )
    gone = [job for job in others if not job.is_finished] + ended[KEPT_JOBS:]
    namespace = training.metadata.namespace
    kept = live | {job.name for job in world.jobs} - {job.name for job in gone}
    actions = [Delete(resources.JOB, namespace, job.name, job.uid) for job in gone]
    actions += [
        Delete(resources.CONFIG_MAP, namespace, config.name, config.uid)
        for config in world.configs
        if config.name not in kept and not config.deleting
    ]
    return replace(now, actions=(*actions, *now.actions))
