"""ModelDeployment as the machinery knows it."""

from collections.abc import Iterable

from modelyard_operator.api import resources
from modelyard_operator.api.resources import Obj
from modelyard_operator.api.v1alpha1.model_deployment import ModelDeployment
from modelyard_operator.kind import Key, Kind
from modelyard_operator.model_deployment import plan
from modelyard_operator.model_deployment.observed import observe


def training_of(obj: Obj) -> Iterable[Key]:
    """Return the training whose versions are served.

    Its changes wake the deployment; the deployment's changes wake it and its versions, whose phase
    says where they serve.
    """
    training = obj.get("spec", {}).get("model", {}).get("training")
    if training:
        yield Key(resources.MODEL_TRAINING.kind, obj["metadata"]["namespace"], training)


KIND = Kind(
    model=ModelDeployment,
    observe=observe,
    decide=plan.decide,
    children=(
        resources.DEPLOYMENT,
        resources.SERVICE,
        resources.CONFIG_MAP,
        resources.POD_DISRUPTION_BUDGET,
        resources.POD,
    ),
    reads=training_of,
    touches=training_of,
)
