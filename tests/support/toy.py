"""A kind as small as can be, for tests of the machinery: one ConfigMap and a phase."""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, ClassVar

from pydantic import Field

from modelyard_operator import naming
from modelyard_operator.actions import Apply, Decision
from modelyard_operator.api import resources
from modelyard_operator.api.base import ApiModel, Column, CustomResource, Status
from modelyard_operator.api.conditions import Claim, Conditions, Truth, settle
from modelyard_operator.kind import Kind
from modelyard_operator.ports import Ports


class ToySpec(ApiModel):
    size: Annotated[int, Field(ge=0)]


class ToyStatus(Status):
    phase: str = ""
    summary: str = ""
    conditions: Conditions = ()


class Toy(CustomResource):
    """Pretends to be a DriftMonitor, so that the API knows its place."""

    RESOURCE = resources.DRIFT_MONITOR
    SHORT_NAMES = ("toy",)
    COLUMNS: ClassVar[tuple[Column, ...]] = ()

    spec: ToySpec
    status: ToyStatus | None = None


async def observe(toy: Toy, ports: Ports) -> Any:
    return ports.clock.now()


def decide(toy: Toy, now: Any) -> Decision:
    child = naming.child(toy, resources.CONFIG_MAP, toy.metadata.name, component="toy", labels={})
    before = toy.status.conditions if toy.status else ()
    claims = (
        Claim("Ready", Truth.TRUE, "Made"),
        Claim("Stalled", Truth.FALSE, "Moving"),
    )
    status = ToyStatus(
        observed_generation=toy.metadata.generation,
        phase="Made",
        conditions=settle(before, claims, generation=toy.metadata.generation, now=now),
    )
    return Decision((Apply(child | {"data": {"size": str(toy.spec.size)}}),), status.to_json())


TOY = Kind(model=Toy, observe=observe, decide=decide, children=(resources.CONFIG_MAP,))


def deciding(decision: Callable[[Toy, Any], Decision]) -> Kind[Any, Any]:
    """Return the kind with another decision."""
    return replace(TOY, decide=decision)


def a_toy(**changes: Any) -> dict[str, Any]:
    """Return a toy as the API server shows it; `spec` and `metadata` can be changed."""
    metadata = {"name": "rain", "namespace": "shop", "uid": "uid-toy", "generation": 1}
    return {
        "apiVersion": Toy.RESOURCE.api_version,
        "kind": Toy.RESOURCE.kind,
        "metadata": metadata | changes.get("metadata", {}),
        "spec": {"size": 1} | changes.get("spec", {}),
        "status": {"observedGeneration": -1} | changes.get("status", {}),
    }
