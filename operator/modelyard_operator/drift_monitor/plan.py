"""What a pass over a DriftMonitor decides.  Pure: no child, no write but the status and events."""

from datetime import timedelta
from typing import Any

from modelyard_core.watch import EpisodeState
from modelyard_operator.actions import Decision, Emit
from modelyard_operator.api import conditions
from modelyard_operator.api.v1alpha1.drift_monitor import (
    DriftMonitor,
    DriftMonitorStatus,
    EpisodeStatus,
    Reference,
)
from modelyard_operator.drift_monitor import explain, reasons, retraining, telling, watching
from modelyard_operator.drift_monitor.observed import Observed

UNREACHABLE_RETRY = timedelta(seconds=30)
MAX_DRIFTING = 5


def decide(monitor: DriftMonitor, world: Observed) -> Decision:
    """Return the whole status, what to tell, and when to look again."""
    before = monitor.status or DriftMonitorStatus()
    told = _told(monitor, before, world)
    course = retraining.advance(monitor, world)
    state = explain.State(
        monitor=monitor,
        world=world,
        course=course,
        windows=told.windows,
        episode=told.episode,
        quality=told.quality,
    )
    explained = explain.explain(state)
    status = told.model_copy(
        update={
            "observed_generation": monitor.metadata.generation,
            "phase": explained.phase,
            "summary": explained.summary,
            "conditions": conditions.settle(
                before.conditions,
                explained.claims,
                generation=monitor.metadata.generation,
                now=world.now,
            ),
            "retrain_request": course.request,
            "last_retrain": course.last,
            "retrains": course.past,
        }
    )
    return Decision(_events(before, status), status.to_json(), _look_again(state))


def _told(monitor: DriftMonitor, before: DriftMonitorStatus, world: Observed) -> DriftMonitorStatus:
    """Return the status with what the report says, or with what was last known."""
    served, report, spec = world.served, world.report, monitor.spec
    if served is None:
        return before.model_copy(
            update={"reference": None, "windows": (), "quality": (), "rows": None, "drifting": ""}
        )
    reference = before.reference
    if reference is None or reference.digest != served.digest:
        before = before.model_copy(update={"windows": ()})
        if reference is not None:
            before = _rebased(before, world)
        reference = Reference(
            revision=served.revision, version=served.version, digest=served.digest, since=world.now
        )
    changes: dict[str, Any] = {"reference": reference}
    if report is not None and report.reference_digest == served.digest:
        windows = telling.windows(report, spec, before.windows)
        newest = telling.tested(windows)
        episode = telling.episode(report.episode) or before.episode
        is_moving = episode is not None and episode.state is not EpisodeState.STABLE
        names = episode.features[:MAX_DRIFTING] if episode and is_moving else ()
        changes |= {
            "windows": windows,
            "rows": newest.rows if newest else None,
            "episode": episode,
            "quality": telling.problems(report),
            "drifting": ",".join(names),
            "budget": telling.budget(report, spec),
        }
    return before.model_copy(update=changes)


def _rebased(before: DriftMonitorStatus, world: Observed) -> DriftMonitorStatus:
    """Return the status when another version serves: drift from the one before is over."""
    episode = before.episode
    if episode is None or episode.state is EpisodeState.STABLE:
        return before
    over = EpisodeStatus(
        number=episode.number, state=EpisodeState.STABLE, since=world.now.replace(microsecond=0)
    )
    return before.model_copy(update={"episode": over, "drifting": ""})


def _events(before: DriftMonitorStatus, after: DriftMonitorStatus) -> tuple[Emit, ...]:
    """Tell of what has begun or ended in this pass."""
    told = []
    if _is_drifting(after) and not _is_drifting(before):
        told.append(Emit("Warning", reasons.DRIFTING, after.summary))
    if any(p.blocking for p in after.quality) and not any(p.blocking for p in before.quality):
        told.append(Emit("Warning", reasons.DATA_QUALITY, after.summary))
    request = after.retrain_request
    if request is not None and before.retrain_request != request:
        note = f"Asked for retraining ({request.id}): {request.reason}."
        told.append(Emit("Normal", reasons.RETRAIN_REQUESTED, note))
    last = after.last_retrain
    if last is not None and last != before.last_retrain:
        note = f"Request {last.id} ended {last.outcome}. {last.reason}".strip()
        told.append(Emit("Normal", reasons.RETRAIN_FINISHED, note))
    return tuple(told)


def _is_drifting(status: DriftMonitorStatus) -> bool:
    return status.episode is not None and status.episode.state is EpisodeState.DRIFTING


def _look_again(state: explain.State) -> timedelta | None:
    """Return when the report may say something new; nothing can be new where nothing serves."""
    if state.world.served is None:
        return None
    if state.world.report is None:
        return UNREACHABLE_RETRY
    usual = watching.look_again_after(state.monitor.spec)
    return min(filter(None, (usual, explain.soon(state))))
