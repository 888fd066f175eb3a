"""What a ModelVersion is used for now.  It has no children: its decision is its status."""

from modelyard_operator.actions import Decision
from modelyard_operator.api.v1alpha1.model_version import ModelVersion
from modelyard_operator.model_version import render, status
from modelyard_operator.model_version.observed import Observed


def decide(version: ModelVersion, world: Observed) -> Decision:
    """Return the status, and an event when the phase has changed."""
    history = status.History.read(version.status).seen(world)
    phase = status.phase(version, world, history)
    return Decision(
        render.transition(version, phase), status.render(version, world, history, phase)
    )
