"""Why a DriftMonitor is as it is: one pure function; phase, summary and conditions render it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from modelyard_core.durations import format_duration
from modelyard_core.reasons import Reason, Severity
from modelyard_core.watch import EpisodeState, WindowState
from modelyard_operator.api.conditions import Claim, Truth, find
from modelyard_operator.api.v1alpha1.drift_monitor import (
    DriftMonitor,
    EpisodeStatus,
    Phase,
    ProblemStatus,
    RetrainRecord,
    WindowStatus,
)
from modelyard_operator.drift_monitor import reasons, telling
from modelyard_operator.drift_monitor.observed import Observed
from modelyard_operator.drift_monitor.retraining import Course, Held

MAX_NAMED = 3
GRACE = timedelta(minutes=2)
"""How long nothing needs to be heard before the monitor is not Ready: an upgrade takes less."""


@dataclass(frozen=True, slots=True)
class State:
    """Everything that there is to explain."""

    monitor: DriftMonitor
    world: Observed
    course: Course
    windows: tuple[WindowStatus, ...] = ()
    episode: EpisodeStatus | None = None
    quality: tuple[ProblemStatus, ...] = ()

    @property
    def is_drifting(self) -> bool:
        """Whether drift has been confirmed and is not over."""
        return self.episode is not None and self.episode.state is EpisodeState.DRIFTING

    @property
    def blocking(self) -> list[ProblemStatus]:
        """What is wrong with the data, as far as it blocks retraining."""
        return [problem for problem in self.quality if problem.blocking]


@dataclass(frozen=True, slots=True)
class Explanation:
    """The whole, and the conditions that render it."""

    phase: Phase
    summary: str
    claims: tuple[Claim, ...]
    reasons: tuple[Reason, ...]


def explain(state: State) -> Explanation:
    """Return why the monitor is as it is, the most important reason first."""
    obstacle = find_obstacle(state)
    drift = find_drift(state)
    retrain = find_retraining(state)
    found = tuple(filter(None, (obstacle, retrain, drift)))
    phase = _phase(state, obstacle)
    summary = " ".join(reason.sentence for reason in found)[:1024]
    return Explanation(phase, summary, _claims(state, obstacle, drift, retrain), found)


def find_obstacle(state: State) -> Reason | None:
    """Return why the deployment cannot be watched now."""
    monitor, world = state.monitor, state.world
    name = monitor.spec.deployment
    if world.deployment is None:
        return Reason(
            reasons.DEPLOYMENT_NOT_FOUND,
            name,
            f"There is no ModelDeployment {name}.",
            Severity.WARNING,
            remedy="Create it, or correct spec.deployment.",
        )
    if world.served is None:
        return Reason(
            reasons.NO_STABLE_REVISION,
            name,
            f"ModelDeployment {name} does not serve a version yet.",
        )
    if world.refusal:
        return Reason(
            reasons.MONITOR_REFUSES,
            monitor.metadata.name,
            f"The monitor service does not watch this: {_sentence(world.refusal)}",
            Severity.WARNING,
            remedy="Correct the spec, or delete monitors that nobody needs.",
        )
    if world.report is None:
        return Reason(
            reasons.MONITOR_UNREACHABLE,
            monitor.metadata.name,
            "The monitor service does not answer, or refuses; what it has collected is kept.",
            Severity.WARNING,
            remedy="Look at the pod modelyard-monitor-0 in the operator's namespace and its log.",
        )
    if world.report.error:
        return Reason(
            reasons.NO_SKETCHES,
            world.served.revision,
            f"{_sentence(world.report.error)}",
            Severity.WARNING,
            remedy=f"See whether the pods of {world.served.revision} are ready.",
        )
    return None


def find_drift(state: State) -> Reason | None:
    """Return what the windows say."""
    if state.world.served is None:
        return None
    if state.blocking:
        return _data_quality(state.blocking)
    episode = state.episode
    if episode is not None and episode.state is not EpisodeState.STABLE:
        return _moving(episode, state.windows)
    newest = telling.tested(state.windows)
    if newest is None or all(_is_silent(each) for each in state.windows):
        return _silence(state)
    nearest = _nearest(newest)
    return Reason(
        reasons.NO_DRIFT,
        "requests",
        f"No drift in the last {newest.window} ({newest.rows} rows{nearest}).",
        since=newest.closed_at,
    )


def find_retraining(state: State) -> Reason | None:
    """Return where a request stands, or why there is none although something drifts."""
    course, retrain = state.course, state.monitor.spec.retrain
    if retrain is None:
        return None
    if course.request is not None:
        return _requested(course, retrain.training)
    if course.held is not None:
        return _held(course.held, course.last, retrain.training)
    if course.cools_down(state.world.now) and course.last is not None:
        return _cooling(course.last)
    return None


def _phase(state: State, obstacle: Reason | None) -> Phase:
    waiting = (reasons.DEPLOYMENT_NOT_FOUND, reasons.NO_STABLE_REVISION)
    if obstacle is not None and obstacle.code in waiting:
        return "Waiting"
    if state.course.request is not None:
        return "Validating" if state.course.is_validating else "RetrainRequested"
    if state.blocking:
        return "DataQuality"
    if state.episode is not None and state.episode.state is not EpisodeState.STABLE:
        return "Drifting" if state.is_drifting else "Suspect"
    if state.course.cools_down(state.world.now):
        return "Cooldown"
    return "InsufficientData" if all(map(_is_silent, state.windows)) else "Stable"


def _claims(
    state: State, obstacle: Reason | None, drift: Reason | None, retrain: Reason | None
) -> tuple[Claim, ...]:
    reconciling = obstacle if obstacle and obstacle.code == reasons.NO_STABLE_REVISION else None
    stalled = next((r for r in (obstacle, retrain) if r and r.code in _STALLING), None)
    return (
        _watching("Ready", state, None if _is_brief(state, obstacle) else obstacle),
        _watching("Available", state, obstacle),
        _holds("Reconciling", reconciling, "Nothing is being set up."),
        _holds("Stalled", stalled, "Nothing waits for a person."),
        _drift_claim(state, obstacle, drift),
    )


_STALLING = frozenset(
    {reasons.DEPLOYMENT_NOT_FOUND, reasons.TRAINING_NOT_FOUND, reasons.MONITOR_REFUSES}
)


def _watching(type_: str, state: State, obstacle: Reason | None) -> Claim:
    if obstacle is not None:
        return Claim.because(type_, Truth.FALSE, obstacle)
    served = state.world.served
    assert served is not None
    sentence = f"Version {served.version} ({served.revision}) is watched."
    return Claim(type_, Truth.TRUE, reasons.WATCHING, sentence)


def _is_brief(state: State, obstacle: Reason | None) -> bool:
    """Return whether something that was heard until now has just fallen silent."""
    if obstacle is None or obstacle.code not in (reasons.MONITOR_UNREACHABLE, reasons.NO_SKETCHES):
        return False
    before = state.monitor.status.conditions if state.monitor.status else ()
    ready, available = find(before, "Ready"), find(before, "Available")
    if ready is None or available is None or ready.status is not Truth.TRUE:
        return False
    silent_since = available.last_transition_time
    return available.status is Truth.TRUE or state.world.now - silent_since < GRACE


def _holds(type_: str, reason: Reason | None, otherwise: str) -> Claim:
    if reason is not None:
        return Claim.because(type_, Truth.TRUE, reason)
    code = reasons.SETTLED if type_ == "Reconciling" else reasons.AS_EXPECTED
    return Claim(type_, Truth.FALSE, code, otherwise)


def _drift_claim(state: State, obstacle: Reason | None, drift: Reason | None) -> Claim:
    """Say whether the requests have drifted; what nobody has seen is unknown."""
    if obstacle is not None or drift is None:
        assert obstacle is not None
        return Claim.because("DriftDetected", Truth.UNKNOWN, obstacle)
    known = {reasons.DRIFTING: Truth.TRUE, reasons.SUSPECT: Truth.FALSE}
    known[reasons.NO_DRIFT] = Truth.FALSE
    truth = Truth.TRUE if state.is_drifting else known.get(drift.code, Truth.UNKNOWN)
    return Claim.because("DriftDetected", truth, drift)


def _data_quality(problems: Sequence[ProblemStatus]) -> Reason:
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return Reason(
        reasons.DATA_QUALITY,
        problems[0].feature,
        f"The data is bad: {problems[0].sentence}{more}.",
        Severity.WARNING,
        remedy="Repair what sends the data; nothing is trained on it meanwhile.",
    )


def _moving(episode: EpisodeStatus, windows: Sequence[WindowStatus]) -> Reason:
    drifts = episode.state is EpisodeState.DRIFTING
    verb = "has drifted" if len(episode.features) == 1 else "have drifted"
    if not drifts:
        verb = "may be drifting"
    names = ", ".join(episode.features[:MAX_NAMED]) or "The data"
    more = len(episode.features) - MAX_NAMED
    names += f" and {more} more" if more > 0 else ""
    detail = _detail(windows)
    return Reason(
        reasons.DRIFTING if drifts else reasons.SUSPECT,
        f"episode {episode.number}",
        f"{names} {verb} (episode {episode.number}, {episode.confirmed} windows{detail}).",
        Severity.WARNING if drifts else Severity.INFO,
        numbers={"episode": float(episode.number)},
        since=episode.since,
    )


def _detail(windows: Sequence[WindowStatus]) -> str:
    hits = [each for each in windows if each.state is WindowState.DRIFT and each.findings]
    if not hits:
        return ""
    newest = max(hits, key=lambda each: each.closed_at)
    top = newest.findings[0]
    return f"; {top.name}: PSI {top.psi}, {top.moved}, {newest.rows} rows in {newest.window}"


def _nearest(window: WindowStatus) -> str:
    if not window.findings:
        return ""
    return f", at most PSI {window.findings[0].psi} in {window.findings[0].name}"


def _silence(state: State) -> Reason:
    needed = state.monitor.spec.min_rows
    if not state.windows:
        return Reason(
            reasons.FIRST_WINDOW,
            "requests",
            f"The first window of {state.monitor.spec.windows[0]} has not ended.",
        )
    most = max(state.windows, key=lambda each: each.rows)
    return Reason(
        reasons.INSUFFICIENT_DATA,
        "requests",
        f"A window needs {needed} rows; the last {most.window} had {most.rows}.",
        numbers={"rows": float(most.rows), "needed": float(needed)},
        remedy="Wait for more requests, or use longer windows.",
    )


def _requested(course: Course, training: str) -> Reason:
    request, answer = course.request, course.answer
    assert request is not None
    if course.held is not None:
        return _held(course.held, course.last, training)
    if course.is_validating and answer is not None:
        return Reason(
            reasons.VALIDATING,
            request.id,
            f"Request {request.id} led to version {answer.version}, which has to earn its traffic.",
            since=request.requested_at,
        )
    stands = "has not taken it up yet" if answer is None else f"says {answer.outcome}"
    detail = f" ({answer.reason})" if answer and answer.reason else ""
    return Reason(
        reasons.RETRAIN_REQUESTED,
        request.id,
        f"ModelTraining {training} was asked to train ({request.id}) and {stands}{detail}.",
        since=request.requested_at,
    )


def _held(held: Held, last: RetrainRecord | None, training: str) -> Reason:
    ended = f"{last.id} ended {last.outcome}" if last else "an earlier request"
    sentences = {
        reasons.TRAINING_NOT_FOUND: f"There is no ModelTraining {training} to ask.",
        reasons.ALREADY_RETRAINED: f"This drift was retrained once: {ended}; it is not repeated.",
        reasons.DATA_QUALITY: "Nothing is trained on bad data.",
        reasons.COOLING_DOWN: f"No request before the cooldown ends ({ended}).",
        reasons.RETRAIN_LIMIT: "No request: spec.retrain.maxPer30d is reached.",
        reasons.ROLLOUT_IN_PROGRESS: "The request waits until the rollout under way has ended.",
    }
    remedies = {
        reasons.TRAINING_NOT_FOUND: "Create it, or correct spec.retrain.training.",
        reasons.ALREADY_RETRAINED: "Look at the run's verdict, then retrain by hand.",
        reasons.RETRAIN_LIMIT: "Raise it, or retrain by hand.",
    }
    return Reason(
        held.reason,
        training,
        sentences[held.reason],
        Severity.WARNING if held.reason in remedies else Severity.INFO,
        eta=held.until,
        remedy=remedies.get(held.reason, ""),
    )


def _cooling(last: RetrainRecord) -> Reason:
    length = format_duration(last.cooldown_until - last.finished_at)
    to_version = f" with version {last.version}" if last.version else ""
    return Reason(
        reasons.COOLING_DOWN,
        last.id,
        f"Request {last.id} ended {last.outcome}{to_version}; the cooldown lasts {length}.",
        since=last.finished_at,
        eta=last.cooldown_until,
    )


def _is_silent(window: WindowStatus) -> bool:
    return window.state is WindowState.INSUFFICIENT_DATA


def _sentence(text: str) -> str:
    """Return a text as a sentence of its own.

    >>> _sentence("no pod answers")
    'No pod answers.'
    """
    return f"{text[:1].upper()}{text[1:]}".rstrip(".")[:500] + "."


def soon(state: State) -> timedelta | None:
    """Return when something changes by itself, if that is known."""
    until = state.course.held.until if state.course.held else None
    last = state.course.last
    if until is None and last is not None and state.course.cools_down(state.world.now):
        until = last.cooldown_until
    return None if until is None else max(timedelta(seconds=1), until - state.world.now)
