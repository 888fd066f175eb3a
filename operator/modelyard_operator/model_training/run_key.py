"""What makes two runs the same: digests of the parts of a spec that change the model."""

from modelyard_core import canonical
from modelyard_operator.api.resources import Obj
from modelyard_operator.api.v1alpha1.model_training import ModelTrainingSpec
from modelyard_operator.api.v1alpha1.training_status import RunStatus


def spec_hash(spec: ModelTrainingSpec) -> str:
    """Return the digest whose change is a wish to train.

    The operator's own default image is not in it: an upgrade retrains nothing.
    """
    data = spec.data
    pinned = {"contract": data.contract.to_json(), "expectedDigest": data.expected_digest}
    return canonical.digest_value(_model_sections(spec) | pinned | {"image": spec.runtime.image})


def run_key(spec: ModelTrainingSpec, image: str, data_digest: str | None, evidence: str) -> str:
    """Return the digest that names a run.

    Where only the Job can read the data, the evidence that asked for the run stands in for its
    digest.
    """
    known = {"dataDigest": data_digest} if data_digest else {"evidence": evidence}
    return canonical.digest_value(_model_sections(spec) | {"image": image} | known)


def evidence(source: str, token: str) -> str:
    """Return what stands in for the data's digest.

    >>> evidence("Manual", "again")
    'Manual:again'
    """
    return f"{source}:{token}"


def of_run(spec: ModelTrainingSpec, image: str, data_digest: str | None, run: RunStatus) -> str:
    """Return the key that a granted run would have in the world as it is now."""
    return run_key(spec, image, data_digest, evidence(run.trigger, run.token))


def _model_sections(spec: ModelTrainingSpec) -> Obj:
    return {
        "task": spec.task,
        "target": spec.target,
        "source": spec.data.train.to_json(),
        "split": spec.data.split.to_json(),
        "features": [feature.to_json() for feature in spec.features],
        "pipeline": spec.pipeline.to_json(),
    }
