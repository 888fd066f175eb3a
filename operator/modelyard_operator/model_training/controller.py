"""ModelTraining for the machinery."""

from modelyard_operator.api import resources
from modelyard_operator.api.v1alpha1.model_training import ModelTraining
from modelyard_operator.kind import Kind
from modelyard_operator.model_training import observed, plan

KIND = Kind(
    model=ModelTraining,
    observe=observed.observe,
    decide=plan.decide,
    headline="Succeeded",
    children=(resources.JOB, resources.CONFIG_MAP, resources.POD),
)
