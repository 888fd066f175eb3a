"""The story as a status: phase, summary, conditions, and what columns show.  Pure."""

from typing import Any

from modelyard_core.reasons import Reason, Severity
from modelyard_operator.api.conditions import Claim, Truth, settle
from modelyard_operator.api.resources import Obj
from modelyard_operator.api.v1alpha1.model_deployment import ModelDeploymentStatus
from modelyard_operator.api.v1alpha1.rollout_status import Phase, RolloutStatus, TrafficStatus
from modelyard_operator.model_deployment import explain, routes
from modelyard_operator.model_deployment.explain import Story
from modelyard_operator.model_deployment.scene import Scene
from modelyard_operator.model_deployment.state import evolve

MAX_SUMMARY = 1024


def fill(status: ModelDeploymentStatus, scene: Scene) -> ModelDeploymentStatus:
    """Return the state with everything that people read."""
    if status.rollout is not None:
        status = evolve(status, rollout=_shown(status, status.rollout, scene))
    story = explain.explain(status, scene)
    metadata = scene.obj.metadata
    conditions = settle(
        status.conditions, claims(story), generation=metadata.generation, now=scene.seen.now
    )
    return evolve(
        status,
        observed_generation=metadata.generation,
        phase=story.phase,
        summary=story.headline.sentence[:MAX_SUMMARY],
        conditions=conditions,
        ready=_ready(status, scene),
    )


def as_json(status: ModelDeploymentStatus) -> Obj:
    """Return the status as the API server keeps it: without empty lists.

    Server-side apply drops a list by key that becomes empty; written out, it would never be equal
    to what is there.
    """
    shown: Obj = _without_empty_lists(status.to_json())
    return shown


def _without_empty_lists(value: Any) -> Any:  # noqa: ANN401 (JSON)
    if isinstance(value, dict):
        return {k: _without_empty_lists(v) for k, v in value.items() if v != []}
    if isinstance(value, list):
        return [_without_empty_lists(item) for item in value]
    return value


def claims(story: Story) -> list[Claim]:
    """Return the conditions, so that generic tools (kstatus, Argo CD, Flux) read them right."""
    headline, is_stuck = story.headline, story.headline.severity is Severity.ERROR
    is_settled = not story.is_moving and not is_stuck and story.is_as_wanted
    is_ready = story.is_available and (is_settled or story.phase is Phase.DRAINING)
    is_reconciling = story.is_moving and not is_stuck
    why_not = headline if not is_settled or is_ready else story.availability
    return [
        _claim("Ready", is_ready, why_not),
        _claim("Available", story.is_available, story.availability),
        _claim("Reconciling", is_reconciling, headline),
        _claim("Stalled", is_stuck, headline),
    ]


def _claim(type_: str, holds: bool, reason: Reason) -> Claim:
    return Claim.because(type_, Truth.TRUE if holds else Truth.FALSE, reason)


def _ready(status: ModelDeploymentStatus, scene: Scene) -> str:
    revision = status.stable or status.rollout
    ready = scene.seen.ready(revision.revision) if revision else 0
    return f"{ready}/{scene.obj.spec.replicas}"


def _shown(status: ModelDeploymentStatus, rollout: RolloutStatus, scene: Scene) -> RolloutStatus:
    shares = routes.wanted(status, scene.seen)
    traffic = None
    if shares is not None:
        desired = routes.desired_traffic(routes.table(shares, scene.seen))
        traffic = TrafficStatus(desired=desired, applied=routes.applied_traffic(scene.seen))
    return evolve(rollout, phase=explain.phase_of(rollout), traffic=traffic)
