"""What people ask for by annotation: `<verb>@<attempt>[/<nonce>]`, handled once.  Pure.

An annotation that Git does not declare is no difference to Argo CD or Flux, and it names the attempt
that it means: an answer to one rollout is never taken for another.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from modelyard_operator import naming
from modelyard_operator.api.v1alpha1.model_deployment import ModelDeploymentStatus
from modelyard_operator.api.v1alpha1.rollout_status import (
    Outcome,
    PauseReason,
    PauseStatus,
    RolloutStatus,
    Stage,
)
from modelyard_operator.model_deployment import reasons
from modelyard_operator.model_deployment import rollout as moves
from modelyard_operator.model_deployment.scene import Scene
from modelyard_operator.model_deployment.state import evolve

MAX_LENGTH = 256
FORM = re.compile(r"(?P<verb>[a-z-]{1,16})@(?P<attempt>[0-9]{1,9})(/[\w.:+-]{1,64})?", re.ASCII)


class Verb(StrEnum):
    """What can be asked for."""

    PROMOTE = "promote"
    """Go on to the next step now."""
    PROMOTE_FULL = "promote-full"
    """Skip all further steps."""
    PAUSE = "pause"
    RESUME = "resume"
    ABORT = "abort"
    RETRY = "retry"
    """Give the attempt that was turned back last another one."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request."""

    value: str
    is_done: bool
    sentence: str


@dataclass(frozen=True, slots=True)
class _Refused:
    sentence: str


_Result = ModelDeploymentStatus | _Refused
_Handler = Callable[[ModelDeploymentStatus, RolloutStatus, Scene], _Result]


def handle(
    status: ModelDeploymentStatus, scene: Scene
) -> tuple[ModelDeploymentStatus, Answer | None]:
    """Return the state after the request that was not handled yet, and the answer to it."""
    value = scene.obj.metadata.annotations.get(naming.ACTION_ANNOTATION, "")[:MAX_LENGTH]
    if not value or value == status.last_handled_action:
        return status, None
    result = _result(value, status, scene)
    if isinstance(result, _Refused):
        return evolve(status, last_handled_action=value), Answer(value, False, result.sentence)
    return evolve(result, last_handled_action=value), Answer(value, True, f"{value} is done")


def _result(value: str, status: ModelDeploymentStatus, scene: Scene) -> _Result:
    matched = FORM.fullmatch(value)
    if matched is None or matched["verb"] not in list(Verb):
        verbs = ", ".join(Verb)
        return _Refused(f"{value!r} is not <verb>@<attempt>[/<nonce>] with a verb of {verbs}")
    verb, attempt = Verb(matched["verb"]), int(matched["attempt"])
    if verb is Verb.RETRY:
        return _retry(status, attempt, scene)
    if status.rollout is None:
        return _Refused(f"there is no attempt under way, so nothing to {verb}")
    if status.rollout.attempt != attempt:
        return _Refused(f"attempt {status.rollout.attempt} is under way, not {attempt}")
    return _HANDLERS[verb](status, status.rollout, scene)


def _retry(status: ModelDeploymentStatus, attempt: int, scene: Scene) -> _Result:
    last, record = status.last_attempt, scene.target.record
    if status.rollout is not None:
        return _Refused(f"attempt {status.rollout.attempt} is under way")
    if last is None or last.outcome is not Outcome.ABORTED or last.attempt != attempt:
        return _Refused(f"attempt {attempt} is not the one that was turned back last")
    if record is None or record.name != last.revision:
        return _Refused(f"the spec does not ask for {last.revision} any more")
    others = tuple(name for name in status.aborted_revisions if name != last.revision)
    return evolve(status, aborted_revisions=others)


def _abort(status: ModelDeploymentStatus, rollout: RolloutStatus, _scene: Scene) -> _Result:
    if rollout.stage is Stage.ABORTING:
        return _Refused("the attempt is being turned back already")
    if status.stable is None and rollout.stage is Stage.PROMOTING:
        return _Refused("nothing else serves yet, so there is nothing to go back to")
    sentence = "a person asked for it"
    return evolve(
        status, rollout=moves.wind_up(rollout, Outcome.ABORTED, reasons.ABORTED_BY_USER, sentence)
    )


def _pause(status: ModelDeploymentStatus, rollout: RolloutStatus, scene: Scene) -> _Result:
    if rollout.stage is not Stage.STEPPING:
        return _Refused(f"only an attempt that takes steps can be paused, not in {rollout.stage}")
    if rollout.pause is not None and rollout.pause.reason is PauseReason.MANUAL_GATE:
        return _Refused("the attempt waits at a pause step already")
    pause = PauseStatus(reason=PauseReason.USER_PAUSED, since=scene.now)
    return evolve(status, rollout=evolve(rollout, pause=pause))


def _resume(status: ModelDeploymentStatus, rollout: RolloutStatus, scene: Scene) -> _Result:
    if rollout.pause is None or rollout.step is None:
        return _Refused("the attempt is not paused")
    if rollout.pause.reason is PauseReason.MANUAL_GATE:
        return _promote(status, rollout, scene)
    # the patience of the step starts again, its evidence does not
    started = scene.now if rollout.step.started_at is not None else None
    resumed = evolve(rollout, pause=None, step=evolve(rollout.step, started_at=started))
    return evolve(status, rollout=resumed)


def _promote(status: ModelDeploymentStatus, rollout: RolloutStatus, scene: Scene) -> _Result:
    refused = _not_promotable(rollout, scene)
    if refused is not None or rollout.step is None:
        return refused or _Refused("the attempt takes no steps")
    following = moves.enter_step(rollout, rollout.step.index + 1, scene)
    is_last = following.stage is Stage.PROMOTING
    return evolve(status, rollout=_by_hand(following) if is_last else following)


def _promote_full(status: ModelDeploymentStatus, rollout: RolloutStatus, scene: Scene) -> _Result:
    refused = _not_promotable(rollout, scene)
    if refused is not None:
        return refused
    return evolve(status, rollout=_by_hand(moves.take_all(rollout)))


def _not_promotable(rollout: RolloutStatus, scene: Scene) -> _Refused | None:
    if rollout.stage is not Stage.STEPPING:
        return _Refused(f"only an attempt that takes steps can go on, not in {rollout.stage}")
    if not scene.is_complete(rollout.revision):
        return _Refused("not all pods of the candidate are ready")
    return None


def _by_hand(rollout: RolloutStatus) -> RolloutStatus:
    return evolve(rollout, reason=reasons.PROMOTED_BY_USER, message="a person asked for it")


_HANDLERS: dict[Verb, _Handler] = {
    Verb.PROMOTE: _promote,
    Verb.PROMOTE_FULL: _promote_full,
    Verb.PAUSE: _pause,
    Verb.RESUME: _resume,
    Verb.ABORT: _abort,
}
