"""Transitions as Kubernetes Events: what changed between two states, once.  Pure."""

from collections.abc import Iterator

from modelyard_operator.actions import Emit
from modelyard_operator.api.v1alpha1.model_deployment import ModelDeploymentStatus
from modelyard_operator.api.v1alpha1.rollout_status import Outcome, RolloutStatus
from modelyard_operator.model_deployment import explain, reasons
from modelyard_operator.model_deployment.commands import Answer

_ENDINGS = {
    Outcome.PROMOTED: reasons.PROMOTED,
    Outcome.ABORTED: reasons.ABORTED,
    Outcome.SUPERSEDED: reasons.SUPERSEDED,
    Outcome.ROLLED_BACK: reasons.ROLLED_BACK,
}


def of(
    before: ModelDeploymentStatus, after: ModelDeploymentStatus, answer: Answer | None
) -> Iterator[Emit]:
    """Yield what is worth telling."""
    if answer is not None:
        if answer.is_done:
            yield Emit("Normal", reasons.ACTION_DONE, answer.sentence)
        else:
            yield Emit("Warning", reasons.ACTION_REFUSED, f"{answer.value}: {answer.sentence}")
    yield from _ended(before, after)
    yield from _started(before, after)
    if after.rollout is not None and before.rollout is not None:
        yield from _moved(before.rollout, after.rollout)


def _ended(before: ModelDeploymentStatus, after: ModelDeploymentStatus) -> Iterator[Emit]:
    last = after.last_attempt
    if last is None or last == before.last_attempt:
        return
    note = f"attempt {last.attempt}: v{last.version} ({last.revision}) {last.outcome}"
    why = f"{note}: {last.message or last.reason}"
    yield Emit(
        "Warning" if last.outcome is Outcome.ABORTED else "Normal", _ENDINGS[last.outcome], why
    )


def _started(before: ModelDeploymentStatus, after: ModelDeploymentStatus) -> Iterator[Emit]:
    rollout = after.rollout
    if rollout is None or after.attempt == before.attempt:
        return
    note = f"attempt {rollout.attempt}: v{rollout.version} ({rollout.revision}), {rollout.start}"
    yield Emit("Normal", reasons.ATTEMPT_STARTED, note)


def _moved(before: RolloutStatus, after: RolloutStatus) -> Iterator[Emit]:
    if after.step is not None and (before.step is None or before.step.index != after.step.index):
        yield Emit("Normal", reasons.STEP_ENTERED, explain.where(after))
    if after.pause is not None and before.pause is None:
        note = f"{explain.where(after)}: {after.pause.reason}"
        yield Emit("Warning", reasons.ATTEMPT_PAUSED, note)
