"""What one pass knows, in the terms that the decisions need."""

from dataclasses import dataclass
from datetime import datetime

from modelyard_operator.api.v1alpha1.model_deployment import ModelDeployment
from modelyard_operator.model_deployment.observed import Observed
from modelyard_operator.model_deployment.routes import Confirmation
from modelyard_operator.model_deployment.target import Target


@dataclass(frozen=True, slots=True)
class Scene:
    """The object, the world, and what follows from both."""

    obj: ModelDeployment
    seen: Observed
    target: Target
    stable: str | None
    """The revision that serves."""
    is_applied: bool
    """Every router has confirmed the traffic that the persisted state wants."""
    routers: Confirmation

    @property
    def now(self) -> datetime:
        """The moment of this pass, as precise as a status needs it."""
        return self.seen.now.replace(microsecond=0)

    @property
    def is_suspended(self) -> bool:
        """Whether nothing may move on."""
        return self.obj.spec.suspend

    def is_complete(self, revision: str) -> bool:
        """Return whether all pods of a revision answer."""
        return self.seen.ready(revision) >= self.obj.spec.replicas
