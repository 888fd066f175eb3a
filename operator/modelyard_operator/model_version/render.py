"""What others see of a change: an Event when a version starts or stops to serve."""

from modelyard_operator.actions import Action, Emit
from modelyard_operator.api.v1alpha1.model_version import ModelVersion
from modelyard_operator.model_version.status import Phase


def transition(version: ModelVersion, phase: Phase) -> tuple[Action, ...]:
    """Return the event of a phase that has changed; the first phase is none."""
    before = version.status.phase if version.status and version.status.summary else phase
    if before == phase or phase not in ("Serving", "Retired"):
        return ()
    verb = "serves" if phase == "Serving" else "no longer serves"
    return (Emit("Normal", phase, f"Version {version.spec.version} {verb}."),)
