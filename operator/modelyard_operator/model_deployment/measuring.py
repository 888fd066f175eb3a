"""When requests are counted, and what a count may end: the link between clock and evidence.  Pure.

Counts are kept in ticks.  A tick without any request changes nothing, so that a silent service writes
no status.
"""

from dataclasses import dataclass
from datetime import timedelta

from modelyard_core.routes import RouterCounters
from modelyard_operator.api.v1alpha1.rollout_status import Finding, RolloutStatus, Stage
from modelyard_operator.api.v1alpha1.rollout_strategy import Analysis
from modelyard_operator.model_deployment import analysis, reasons, routes
from modelyard_operator.model_deployment.analysis import Arms
from modelyard_operator.model_deployment.scene import Scene
from modelyard_operator.model_deployment.state import evolve

TICK = timedelta(seconds=5)
FIRST_LOOKS = timedelta(seconds=1)
NEW_FOR = timedelta(seconds=10)
"""So long a step is looked at more often: what is grossly wrong should not last for a tick."""
LEAVING_TICK = timedelta(seconds=1)
"""While a router leaves: its last counts are gone with it."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The attempt after a tick, and why it must end, if it must: reason and sentence."""

    rollout: RolloutStatus
    verdict: tuple[str, str] | None = None


def start(rollout: RolloutStatus, scene: Scene) -> RolloutStatus:
    """Return the attempt with its counting begun: what was counted before is not this step's."""
    assert rollout.step is not None, "only a step is counted"
    _, cursors = analysis.read((), _counters(scene), _arms(rollout, scene), _limits(rollout))
    step = evolve(rollout.step, started_at=scene.now, measured_at=scene.now)
    return evolve(rollout, step=step, cursors=cursors)


def measure(rollout: RolloutStatus, scene: Scene) -> Measured:
    """Return the attempt after one look.

    Harm is found at every look; what is counted is kept only when a tick is due.  The first tick of
    a step says nothing about latency: connections are new and caches are cold.
    """
    step = rollout.step
    if step is None or step.started_at is None:
        return Measured(rollout)
    limits = _limits(rollout)
    interval, cursors = analysis.read(
        rollout.cursors, _counters(scene), _arms(rollout, scene), limits
    )
    if cursors == rollout.cursors:
        return Measured(rollout)
    if step.measured_at == step.started_at:
        interval = analysis.without_latency(interval, limits)
    checks = analysis.judge(rollout.analysis, interval, limits, needed_requests(rollout))
    counted = evolve(
        rollout,
        analysis=checks,
        cursors=cursors,
        step=evolve(step, measured_at=scene.now),
        trace=analysis.traced(rollout.trace, checks, step.index, scene.now),
    )
    verdict = _verdict(counted, interval)
    if verdict is None and not _is_due(rollout, scene):
        return Measured(rollout)
    return Measured(counted, verdict)


def needed_requests(rollout: RolloutStatus) -> int:
    """Return how many requests the candidate must answer in this step at least."""
    step = routes.traffic_step(rollout)
    return step.min_requests or rollout.strategy.analysis.min_requests


def _verdict(rollout: RolloutStatus, interval: analysis.Interval) -> tuple[str, str] | None:
    where = f"in step {rollout.step.index + 1}" if rollout.step else ""
    if (gross := analysis.gross_failure(rollout.analysis, interval)) is not None:
        return (
            reasons.CANDIDATE_FAILING,
            f"{gross.bad} of {gross.requests} requests to the candidate failed {where}",
        )
    failing = next((c for c in rollout.analysis if c.decision is Finding.FAILING), None)
    if failing is None:
        return None
    limit = 1 / rollout.strategy.analysis.check_alpha
    return (
        reasons.ANALYSIS_FAILED,
        f"{failing.name}: evidence of harm {failing.e_harm} (limit {limit:.0f}) {where}: "
        f"{failing.bad_canary} bad of {failing.n_canary} at the candidate, "
        f"{failing.bad_stable} of {failing.n_stable} at stable",
    )


def _is_due(rollout: RolloutStatus, scene: Scene) -> bool:
    assert rollout.step is not None, "only a step is counted"
    measured = rollout.step.measured_at
    if measured is None or not rollout.cursors:
        return True
    is_leaving = any(router.pod.is_leaving and router.counters for router in scene.seen.routers)
    return scene.now - measured >= (LEAVING_TICK if is_leaving else TICK)


def _counters(scene: Scene) -> list[RouterCounters]:
    return [router.counters for router in scene.seen.routers if router.counters is not None]


def _arms(rollout: RolloutStatus, scene: Scene) -> Arms:
    """Return the clusters that are compared: copies while shadowing, else live requests."""
    assert scene.stable is not None, "steps are only taken where something serves"
    is_stepping = rollout.stage is Stage.STEPPING
    if is_stepping and routes.traffic_step(rollout).mirror is not None:
        return Arms(scene.stable, f"mirror-{rollout.revision}", is_mirrored=True)
    return Arms(scene.stable, rollout.revision)


def _limits(rollout: RolloutStatus) -> Analysis:
    return rollout.strategy.analysis
