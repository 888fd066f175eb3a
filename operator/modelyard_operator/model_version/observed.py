"""What is read for a ModelVersion: the deployments that may send requests to it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from modelyard_operator.api import resources
from modelyard_operator.api.resources import Obj
from modelyard_operator.api.v1alpha1.model_version import ModelVersion, ServedBy
from modelyard_operator.ports import Ports


@dataclass(frozen=True, slots=True)
class Observed:
    """One instant of the world around a ModelVersion."""

    now: datetime
    served_by: tuple[ServedBy, ...] = ()
    """By deployment."""

    @property
    def is_stable(self) -> bool:
        """Whether some deployment answers everybody with this version."""
        return any(served.role == "Stable" for served in self.served_by)


async def observe(version: ModelVersion, ports: Ports) -> Observed:
    """Read who serves this version."""
    deployments = await ports.cluster.list(resources.MODEL_DEPLOYMENT, version.metadata.namespace)
    return Observed(
        now=ports.clock.now().replace(microsecond=0), served_by=read_servers(version, deployments)
    )


def read_servers(version: ModelVersion, deployments: Iterable[Obj]) -> tuple[ServedBy, ...]:
    """Return the roles that deployments have given this version."""
    found = [
        served
        for obj in deployments
        if obj["spec"]["model"]["training"] == version.spec.training
        for served in _roles(version, obj)
    ]
    return tuple(sorted(found, key=lambda served: (served.deployment, served.role)))


def _roles(version: ModelVersion, obj: Obj) -> Iterable[ServedBy]:
    name, status = obj["metadata"]["name"], obj.get("status", {})
    stable: Obj = status.get("stable") or {}
    rollout: Obj = status.get("rollout") or {}
    if stable.get("digest") == version.spec.digest:
        yield ServedBy(deployment=name, role="Stable")
    if rollout.get("version") == version.spec.version:
        yield ServedBy(deployment=name, role="Canary")
