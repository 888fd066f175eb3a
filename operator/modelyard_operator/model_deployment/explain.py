"""Why a deployment is as it is: one function from state and world to a story.  Pure.

Phase, summary, conditions and events are renderings of it.  Sentences use what is persisted or what
is seen, never the time that passes, so that a state that lasts is written once.
"""

from dataclasses import dataclass, replace
from datetime import timedelta

from modelyard_core.durations import format_duration
from modelyard_core.reasons import Reason, Severity
from modelyard_operator.api.v1alpha1.model_deployment import ModelDeploymentStatus
from modelyard_operator.api.v1alpha1.revision import RevisionRecord
from modelyard_operator.api.v1alpha1.rollout_status import (
    Outcome,
    PauseReason,
    Phase,
    RolloutStatus,
    Stage,
    Start,
)
from modelyard_operator.model_deployment import analysis, measuring, reasons, routes
from modelyard_operator.model_deployment.rollout import is_late
from modelyard_operator.model_deployment.scene import Scene


@dataclass(frozen=True, slots=True)
class Story:
    """What people are told."""

    phase: Phase
    headline: Reason
    """Why it is in this phase; its severity Error means that a person must act."""
    availability: Reason
    is_available: bool
    is_moving: bool
    """Something is still on its way."""
    is_as_wanted: bool
    """What the spec asks for serves."""


def explain(status: ModelDeploymentStatus, scene: Scene) -> Story:
    """Return why the deployment is as it is."""
    phase, headline, is_moving = _headline(status, scene)
    is_available, availability = _availability(status, scene)
    record = scene.target.record
    stable = status.stable
    is_as_wanted = bool(record and stable and record.name == stable.revision)
    return Story(phase, headline, availability, is_available, is_moving, is_as_wanted)


def _headline(status: ModelDeploymentStatus, scene: Scene) -> tuple[Phase, Reason, bool]:
    rollout = status.rollout
    if rollout is not None:
        phase, reason = _attempt(status, rollout, scene)
        return phase, reason, True
    if (aborted := _aborted(status, scene)) is not None:
        return Phase.ABORTED, aborted, False
    if scene.target.missing is not None:
        missing = _with_stable(scene.target.missing, status)
        return Phase.PENDING, missing, missing.severity is not Severity.ERROR
    if scene.is_suspended:
        return Phase.SUSPENDED, _suspended(status, scene), False
    if status.draining:
        return Phase.DRAINING, _draining(status, scene), True
    return _serving(status, scene)


def phase_of(rollout: RolloutStatus) -> Phase:
    """Return an attempt's place in one word."""
    if rollout.pause is not None:
        return Phase.PAUSED
    match rollout.stage:
        case Stage.PROVISIONING:
            return Phase.PROVISIONING
        case Stage.STEPPING:
            step = routes.traffic_step(rollout)
            return Phase.SHADOWING if step.mirror is not None else Phase.RAMPING
        case Stage.PROMOTING:
            return Phase.PROMOTING
        case Stage.ABORTING:
            return Phase.ABORTING


# Without an attempt


def _aborted(status: ModelDeploymentStatus, scene: Scene) -> Reason | None:
    """Return why the wanted revision does not serve: it was turned back."""
    record, last = scene.target.record, status.last_attempt
    if record is None or record.name not in status.aborted_revisions:
        return None
    is_last = last is not None and last.revision == record.name
    why = f": {last.message}" if last and is_last and last.message else ""
    verb = f"kubectl annotate modeldeployment {scene.obj.metadata.name} "
    number = last.attempt if last and is_last else status.attempt
    reason = Reason(
        last.reason if last and is_last else reasons.ABORTED,
        record.name,
        f"{_candidate_name(status, record)} was turned back{why}.",
        Severity.ERROR,
        remedy=(
            "Ask for another version, or retry: "
            f"{verb}modelyard.dev/action=retry@{number} --overwrite"
        ),
    )
    return _with_stable(reason, status)


def _candidate_name(status: ModelDeploymentStatus, record: RevisionRecord) -> str:
    """Return a revision in words: by its version, unless stable is of the same one."""
    is_same = status.stable is not None and status.stable.version == record.version
    return f"{record.name} (v{record.version})" if is_same else f"v{record.version}"


def _with_stable(reason: Reason, status: ModelDeploymentStatus) -> Reason:
    if status.stable is None:
        return replace(reason, sentence=f"Nothing serves yet: {reason.sentence}")
    return replace(reason, sentence=f"v{status.stable.version} serves; {reason.sentence}")


def _suspended(status: ModelDeploymentStatus, scene: Scene) -> Reason:
    sentence = "rollouts are suspended."
    reason = Reason(
        reasons.SUSPENDED,
        scene.obj.metadata.name,
        sentence,
        remedy="Set spec.suspend to false to go on.",
    )
    return _with_stable(reason, status)


def _draining(status: ModelDeploymentStatus, scene: Scene) -> Reason:
    names = ", ".join(drain.revision for drain in status.draining)
    reason = Reason(reasons.DRAINING, names, f"{names} gets no requests and goes soon.")
    return _with_stable(reason, status)


def _serving(status: ModelDeploymentStatus, scene: Scene) -> tuple[Phase, Reason, bool]:
    stable = status.stable
    if stable is None:
        waiting = Reason(reasons.NOTHING_SERVES, scene.obj.metadata.name, "nothing serves yet.")
        return Phase.PENDING, waiting, True
    ready, wanted = scene.seen.ready(stable.revision), scene.obj.spec.replicas
    pods = f"{ready} of {wanted} pods ready"
    if ready < wanted:
        why = _because(scene.seen.trouble(stable.revision))
        sentence = f"v{stable.version} serves with {pods}{why}"
        return Phase.IDLE, Reason(reasons.WAITING_FOR_PODS, stable.revision, sentence), True
    sentence = f"v{stable.version} serves, {pods}."
    return Phase.IDLE, Reason(reasons.SERVING, stable.revision, sentence), False


def _because(trouble: str) -> str:
    """Return how a sentence ends that has a reason, or none.

    >>> _because("no node."), _because("")
    (': no node.', '.')
    """
    return f": {trouble.rstrip('. ')}." if trouble else "."


# An attempt


def _attempt(
    status: ModelDeploymentStatus, rollout: RolloutStatus, scene: Scene
) -> tuple[Phase, Reason]:
    reason = _told(status, rollout, scene)
    if status.stable is not None:
        stable = status.stable
        is_same = stable.version == rollout.version
        name = f"{stable.revision} (v{stable.version})" if is_same else f"v{stable.version}"
        reason = replace(reason, sentence=f"{reason.sentence} {name} serves.")
    return phase_of(rollout), reason


def _told(status: ModelDeploymentStatus, rollout: RolloutStatus, scene: Scene) -> Reason:
    match rollout.stage:
        case Stage.PROVISIONING:
            return _provisioning(rollout, scene)
        case Stage.STEPPING:
            return _stepping(rollout, scene)
        case Stage.PROMOTING:
            return _promoting(rollout, scene)
        case Stage.ABORTING:
            return _aborting(status, rollout, scene)


def _provisioning(rollout: RolloutStatus, scene: Scene) -> Reason:
    ready, wanted = scene.seen.ready(rollout.revision), scene.obj.spec.replicas
    why = _because(scene.seen.trouble(rollout.revision))
    sentence = f"v{rollout.version}: {ready} of {wanted} pods ready{why}"
    if rollout.start is Start.INITIAL and is_late(rollout, rollout.started_at, scene):
        return Reason(
            reasons.PROGRESS_DEADLINE_EXCEEDED,
            rollout.revision,
            f"{sentence} That is longer than {rollout.strategy.progress_deadline}.",
            Severity.ERROR,
            since=rollout.started_at,
            remedy="See the pods of this revision; it goes on by itself once they are ready.",
        )
    return Reason(reasons.WAITING_FOR_PODS, rollout.revision, sentence, since=rollout.started_at)


def _stepping(rollout: RolloutStatus, scene: Scene) -> Reason:
    step = rollout.step
    assert step is not None, "a stepping attempt has a step"
    if step.blocked_since is not None:
        trouble = scene.seen.trouble(rollout.revision) or "its pods say nothing"
        sentence = f"v{rollout.version} lost its pods and gets no traffic: {trouble}."
        return Reason(
            reasons.CANDIDATE_BLOCKED, rollout.revision, sentence, Severity.WARNING,
            since=step.blocked_since,
        )  # fmt: skip
    if step.started_at is None:
        return _applying(rollout, scene)
    if rollout.pause is not None:
        return _paused(rollout, scene)
    return _analysing(rollout)


def where(rollout: RolloutStatus) -> str:
    """Return the step in words: `v4 at 25 % (step 3 of 4)`."""
    step = routes.traffic_step(rollout)
    index = rollout.step.index if rollout.step else 0
    share = f"mirrored {step.mirror} %" if step.mirror is not None else f"at {step.weight or 0} %"
    return f"v{rollout.version} {share} (step {index + 1} of {len(rollout.strategy.ladder)})"


def _applying(rollout: RolloutStatus, scene: Scene) -> Reason:
    waiting = f": {scene.routers.waiting}" if scene.routers.waiting else ""
    sentence = f"{where(rollout)}: waiting until every router has applied it{waiting}."
    return Reason(reasons.APPLYING_TRAFFIC, rollout.revision, sentence)


def _paused(rollout: RolloutStatus, scene: Scene) -> Reason:
    assert rollout.pause is not None, "only a paused attempt is told as one"
    verb = f"modelyard.dev/action=<verb>@{rollout.attempt}"
    since = rollout.pause.since
    match rollout.pause.reason:
        case PauseReason.MANUAL_GATE:
            sentence = f"{where(rollout)}: waits for a person."
            remedy = f"Annotate it with {verb}: promote goes on, abort turns it back."
            return Reason(
                reasons.MANUAL_GATE, rollout.revision, sentence, Severity.WARNING,
                since=since, remedy=remedy,
            )  # fmt: skip
        case PauseReason.USER_PAUSED:
            sentence = f"{where(rollout)}: paused by a person."
            remedy = f"Annotate it with {verb}: resume goes on."
            return Reason(
                reasons.USER_PAUSED, rollout.revision, sentence, Severity.WARNING,
                since=since, remedy=remedy,
            )  # fmt: skip
        case PauseReason.INSUFFICIENT_DATA:
            patience = rollout.strategy.analysis.max_step_duration
            sentence = f"{where(rollout)}: undecided after {patience}: {_evidence(rollout)}."
            remedy = (
                "It goes on by itself once the evidence suffices. "
                f"Annotate it with {verb}: promote goes on without it, abort turns it back."
            )
            return Reason(
                reasons.INSUFFICIENT_DATA, rollout.revision, sentence, Severity.WARNING,
                since=since, remedy=remedy,
            )  # fmt: skip


def _analysing(rollout: RolloutStatus) -> Reason:
    seen = min((check.n_canary for check in rollout.analysis), default=0)
    needed = measuring.needed_requests(rollout)
    mirrored = routes.traffic_step(rollout).mirror is not None
    code = reasons.SHADOWING if mirrored else reasons.RAMPING
    sentence = f"{where(rollout)}: {_evidence(rollout)}{_outlook(rollout)}."
    return Reason(
        reasons.INSUFFICIENT_DATA if seen < needed else code,
        rollout.revision,
        sentence,
        numbers={"requests": float(seen), "needed": float(needed)},
        since=rollout.step.started_at if rollout.step else None,
    )


def _evidence(rollout: RolloutStatus) -> str:
    limit = 1 / rollout.strategy.analysis.check_alpha
    told = [
        f"{check.name} {check.bad_canary} of {check.n_canary}, harm {check.e_harm}, "
        f"good {check.e_pass} of {limit:.0f}"
        for check in rollout.analysis
    ]
    return "; ".join(told)


def _outlook(rollout: RolloutStatus) -> str:
    """Return how long this step is going to take at the present pace, as far as that can be told."""
    step = rollout.step
    assert step is not None, "a stepping attempt has a step"
    seen = min((check.n_canary for check in rollout.analysis), default=0)
    if not seen or step.started_at is None or step.measured_at is None:
        return "; no request has reached it yet"
    needed = measuring.needed_requests(rollout)
    expected = analysis.expected_requests(rollout.analysis, rollout.strategy.analysis, needed)
    if expected is None:
        return "; going on like this it never passes"
    elapsed = (step.measured_at - step.started_at).total_seconds()
    if expected <= seen or elapsed <= 0:
        return ""
    wait = timedelta(seconds=elapsed * (expected - seen) / seen)
    pace = 60 * seen / elapsed
    return f"; about {format_duration(wait)} more at {pace:.3g} requests a minute"


def _promoting(rollout: RolloutStatus, scene: Scene) -> Reason:
    waiting = f": {scene.routers.waiting}" if scene.routers.waiting else ""
    sentence = f"v{rollout.version} takes all traffic as soon as every router says so{waiting}."
    return Reason(reasons.PROMOTING, rollout.revision, sentence)


def _aborting(status: ModelDeploymentStatus, rollout: RolloutStatus, scene: Scene) -> Reason:
    why = f"{rollout.outcome or Outcome.ABORTED}: {rollout.message or rollout.reason}"
    if status.stable is not None and not scene.seen.ready(status.stable.revision):
        return Reason(
            reasons.STABLE_NOT_READY,
            rollout.revision,
            f"v{rollout.version} is turned back ({why}), but stable has no ready pod to take over.",
            Severity.ERROR,
            remedy="Bring stable's pods back, or ask for another version.",
        )
    return Reason(
        reasons.TURNING_BACK, rollout.revision, f"v{rollout.version} is turned back: {why}."
    )


# Availability


def _availability(status: ModelDeploymentStatus, scene: Scene) -> tuple[bool, Reason]:
    stable, subject = status.stable, scene.obj.metadata.name
    if stable is None:
        return False, Reason(reasons.NOTHING_SERVES, subject, "No revision serves yet.")
    if not scene.seen.ready(stable.revision):
        why = _because(scene.seen.trouble(stable.revision))
        sentence = f"v{stable.version} has no ready pod{why}"
        return False, Reason(reasons.STABLE_PODS_MISSING, subject, sentence, Severity.ERROR)
    if not any(r.pod.is_ready and not r.pod.is_leaving for r in scene.seen.routers):
        sentence = "No router pod is ready."
        return False, Reason(reasons.NO_ROUTER_READY, subject, sentence, Severity.ERROR)
    return True, Reason(reasons.SERVING, subject, f"v{stable.version} serves.")
