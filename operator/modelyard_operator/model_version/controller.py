"""ModelVersion for the machinery."""

from collections.abc import Iterator

from modelyard_operator.api import resources
from modelyard_operator.api.resources import Obj
from modelyard_operator.api.v1alpha1.model_version import ModelVersion
from modelyard_operator.kind import Key, Kind
from modelyard_operator.model_version import observed, plan


def training_of(obj: Obj) -> Iterator[Key]:
    """Yield the training that made a version."""
    namespace = obj["metadata"]["namespace"]
    yield Key(resources.MODEL_TRAINING.kind, namespace, obj["spec"]["training"])


def reads(obj: Obj) -> Iterator[Key]:
    """Yield what a version depends on: the deployments that serve it, and its training.

    A deployment that starts to serve it wakes the training and with it all its readers.
    """
    yield from training_of(obj)
    namespace = obj["metadata"]["namespace"]
    for served in obj.get("status", {}).get("servedBy", []):
        yield Key(resources.MODEL_DEPLOYMENT.kind, namespace, served["deployment"])


KIND = Kind(
    model=ModelVersion,
    observe=observed.observe,
    decide=plan.decide,
    reads=reads,
    touches=training_of,
)
