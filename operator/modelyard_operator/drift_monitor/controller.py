"""The kind DriftMonitor, as the machinery knows it."""

from collections.abc import Iterable

from modelyard_operator.api.resources import Obj
from modelyard_operator.api.v1alpha1.drift_monitor import DriftMonitor
from modelyard_operator.drift_monitor import observed, plan
from modelyard_operator.kind import Key, Kind


def reads(obj: Obj) -> Iterable[Key]:
    """Return whose changes matter: the deployment's, and the training's that was asked."""
    namespace, spec = obj["metadata"]["namespace"], obj["spec"]
    yield Key("ModelDeployment", namespace, spec["deployment"])
    if spec.get("retrain"):
        yield Key("ModelTraining", namespace, spec["retrain"]["training"])


def touches(obj: Obj) -> Iterable[Key]:
    """Return who must look again when this changes: the training that is asked."""
    if obj["spec"].get("retrain"):
        yield Key("ModelTraining", obj["metadata"]["namespace"], obj["spec"]["retrain"]["training"])


KIND = Kind(
    model=DriftMonitor,
    observe=observed.observe,
    decide=plan.decide,
    reads=reads,
    touches=touches,
    forget=observed.forget,
)
