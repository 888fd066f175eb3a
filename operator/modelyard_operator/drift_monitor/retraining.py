"""From drift to a request, and from a request to its end.  Pure.

One request for one episode.  It is repeated, under a longer id, only where the training refused to
run for it; a run that came to nothing is not repeated for the same drift.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from modelyard_core.durations import parse_duration
from modelyard_core.watch import Episode, EpisodeState, Report
from modelyard_operator.api.v1alpha1.drift_monitor import (
    DriftMonitor,
    DriftMonitorStatus,
    PastRequest,
    Retrain,
    RetrainRecord,
    RetrainRequest,
)
from modelyard_operator.drift_monitor import reasons, watching
from modelyard_operator.drift_monitor.observed import Answer, Deployment, Observed

PERIOD = timedelta(days=30)

PROMOTED = "Promoted"
NOT_PROMOTED = "NotPromoted"
NOT_BLESSED = "NotBlessed"
UNCHANGED = "Unchanged"
FAILED = "Failed"
SUPPRESSED = "Suppressed"
SUPERSEDED = "Superseded"
WITHDRAWN = "Withdrawn"
WITHOUT_RUN = frozenset({SUPPRESSED, SUPERSEDED, WITHDRAWN, UNCHANGED})
"""Outcomes of requests that nothing was trained for."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a request ended."""

    outcome: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """Why drift asks for nothing now."""

    reason: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Course:
    """Where retraining stands."""

    request: RetrainRequest | None = None
    last: RetrainRecord | None = None
    past: tuple[PastRequest, ...] = ()
    answer: Answer | None = None
    """What the training has made of the request so far."""
    held: Held | None = None

    @property
    def is_validating(self) -> bool:
        """Whether a blessed version is waiting for its rollout to end."""
        return self.request is not None and _is_blessed(self.answer)

    def cools_down(self, now: datetime) -> bool:
        """Return whether the last request ended too recently for another."""
        return self.last is not None and now < self.last.cooldown_until


@dataclass(frozen=True, slots=True)
class Case:
    """All that is known when the course is decided."""

    monitor: DriftMonitor
    world: Observed
    retrain: Retrain
    before: Course = field(default_factory=Course)

    @property
    def report(self) -> Report | None:
        """The report, if it speaks about what is served now."""
        report, served = self.world.report, self.world.served
        if report is None or served is None or report.reference_digest != served.digest:
            return None
        return report


def remembered(status: DriftMonitorStatus | None, now: datetime) -> Course:
    """Return where retraining stood at the end of the last pass."""
    if status is None:
        return Course()
    past = tuple(each for each in status.retrains if now - each.at < PERIOD)
    return Course(status.retrain_request, status.last_retrain, past)


def advance(monitor: DriftMonitor, world: Observed) -> Course:
    """Return where retraining stands now."""
    before = remembered(monitor.status, world.now)
    if monitor.spec.retrain is None:
        return replace(before, request=None)
    case = Case(monitor, world, monitor.spec.retrain, before)
    if before.request is not None:
        followed = _follow(case, before.request)
        if followed.request is not None:
            return followed
        case = replace(case, before=followed)
    return _consider(case)


def _follow(case: Case, request: RetrainRequest) -> Course:
    answer = case.world.answer(request.id)
    ended = _end(case.world, request, answer, case.retrain) or _withdrawal(case, request, answer)
    if ended is not None:
        return _close(case, request, answer, ended)
    held = None if case.world.has_training else Held(reasons.TRAINING_NOT_FOUND)
    return replace(case.before, request=request, answer=answer, held=held)


def _end(
    world: Observed, request: RetrainRequest, answer: Answer | None, retrain: Retrain
) -> Ended | None:
    """Return how the request has ended, or None while it has not."""
    served = world.served
    if served is not None and served.digest != request.served_digest:
        is_ours = answer is not None and answer.version == served.version
        return Ended(PROMOTED) if is_ours else Ended(SUPERSEDED, "AnotherVersionServes")
    if answer is None or answer.outcome in ("Pending", "Running"):
        return None
    if answer.outcome != "Succeeded":
        return Ended(answer.outcome, answer.reason)
    if not _is_blessed(answer):
        return Ended(NOT_BLESSED, answer.verdict or answer.reason)
    if served is not None and answer.version == served.version:
        return Ended(UNCHANGED, "SameVersion")
    return _end_of_rollout(world.deployment, request, answer, retrain)


def _withdrawal(case: Case, request: RetrainRequest, answer: Answer | None) -> Ended | None:
    """Return the end of a request that nobody has acted on and whose drift is over."""
    episode = case.report.episode if case.report else None
    if episode is None or (answer is not None and answer.outcome != "Pending"):
        return None
    is_over = episode.number > request.episode or (
        episode.number == request.episode and episode.state is EpisodeState.STABLE
    )
    return Ended(WITHDRAWN, "DriftEnded") if is_over else None


def _end_of_rollout(
    deployment: Deployment | None, request: RetrainRequest, answer: Answer, retrain: Retrain
) -> Ended | None:
    if deployment is None:
        return Ended(NOT_PROMOTED, reasons.DEPLOYMENT_NOT_FOUND)
    if deployment.training != retrain.training:
        return Ended(NOT_PROMOTED, "FollowsAnotherTraining")
    if deployment.pinned is not None and deployment.pinned != answer.version:
        return Ended(NOT_PROMOTED, "DeploymentIsPinned")
    attempt = deployment.last_attempt
    if attempt is None or attempt.version != answer.version or attempt.outcome == PROMOTED:
        return None
    if attempt.finished_at < request.requested_at:
        return None
    return Ended(NOT_PROMOTED, attempt.reason or attempt.outcome)


def _is_blessed(answer: Answer | None) -> bool:
    return answer is not None and answer.outcome == "Succeeded" and answer.verdict == "Blessed"


def _close(case: Case, request: RetrainRequest, answer: Answer | None, ended: Ended) -> Course:
    now = case.world.now
    record = RetrainRecord(
        id=request.id,
        episode=request.episode,
        requested_at=request.requested_at,
        finished_at=now,
        cooldown_until=now + parse_duration(case.retrain.cooldown),
        outcome=ended.outcome,
        reason=ended.reason,
        run=answer.run if answer else None,
        version=answer.version if answer else None,
    )
    return replace(case.before, request=None, last=record)


def _consider(case: Case) -> Course:
    """Ask for a run if an episode has been confirmed and nothing stands against it."""
    report = case.report
    episode = report.episode if report else None
    if report is None or episode is None or episode.state is not EpisodeState.DRIFTING:
        return case.before
    held = _hold(case, report, episode)
    if held is not None:
        return replace(case.before, held=held)
    return _ask(case, episode)


def _hold(case: Case, report: Report, episode: Episode) -> Held | None:
    """Return the first thing that stands against a request."""
    last, now, past = case.before.last, case.world.now, case.before.past
    most = case.retrain.max_per_30d
    was_retrained = (
        last is not None and last.episode == episode.number and last.outcome not in WITHOUT_RUN
    )
    in_rollout = case.world.deployment is not None and case.world.deployment.in_rollout
    if not case.world.has_training:
        return Held(reasons.TRAINING_NOT_FOUND)
    if was_retrained:
        return Held(reasons.ALREADY_RETRAINED)
    if any(problem.blocking for problem in report.quality):
        return Held(reasons.DATA_QUALITY)
    if last is not None and now < last.cooldown_until:
        return Held(reasons.COOLING_DOWN, last.cooldown_until)
    if len(past) >= most:
        return Held(reasons.RETRAIN_LIMIT, past[-most].at + PERIOD)
    return Held(reasons.ROLLOUT_IN_PROGRESS) if in_rollout else None


def _ask(case: Case, episode: Episode) -> Course:
    served, name = case.world.served, case.monitor.metadata.name
    assert served is not None
    last = case.before.last
    repetition = 0
    if last is not None and last.episode == episode.number:
        repetition = int(last.id.rpartition(".")[2]) + 1 if "." in last.id[len(name) :] else 1
    token = watching.request_id(name, episode.number, repetition)
    answer = case.world.answer(token)
    # An answer to a request that this status does not know: the status was lost, the run was not.
    at = answer.at if answer else case.world.now
    request = RetrainRequest(
        id=token,
        episode=episode.number,
        requested_at=at,
        served_digest=served.digest,
        reason=_why(episode),
    )
    past = (*case.before.past, PastRequest(id=token, at=at))
    return replace(case.before, request=request, answer=answer, past=past)


def _why(episode: Episode) -> str:
    features = ", ".join(episode.features[:3]) or "the data"
    return f"episode {episode.number}: {features} drifted"
