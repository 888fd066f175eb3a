"""Reads the request and refuses what no data could make right."""

from pathlib import Path

from modelyard_core import codec, estimators, metrics
from modelyard_core.errors import Unavailable
from modelyard_core.estimators import BadParameterError, ParameterValue
from modelyard_core.runs import Feature, MetricGate, RunRequest
from modelyard_training.failures import BadSpec

OUTPUTS = ("label", "probabilities", "prediction")
"""Names of the model's outputs; no feature can be called so."""
ALLOWED = {
    "type": ("Float", "Category"),
    "missing": (None, "ImputeMedian", "Native"),
    "scale": (None, "None", "Standard"),
    "encode": (None, "OneHot", "Ordinal"),
}
STRATEGIES = ("Hash", "Time")
TREES_THAT_TAKE_NAN = ("HistGradientBoosting",)


def read_request(path: Path) -> RunRequest:
    """Return the checked request.

    Raises:
        BadSpec, ShapeError: the request is wrong.
        Unavailable: the file is not there.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise Unavailable(f"the request cannot be read: {error.strerror}") from error
    request = codec.loads(RunRequest, text)
    check_request(request)
    return request


def check_request(request: RunRequest) -> None:
    """Refuse a request that no data could make right.

    Raises:
        BadSpec: with the fix in its sentence.
    """
    if request.task not in estimators.TASKS:
        raise BadSpec("InvalidSpec", f"task must be one of {', '.join(estimators.TASKS)}")
    params_of(request)
    _check_features(request)
    _check_split(request)
    for gate in request.gates.metrics:
        _check_gate(request.task, gate)


def params_of(request: RunRequest) -> dict[str, ParameterValue]:
    """Return the estimator's parameters as values.

    Raises:
        BadSpec: unknown estimator or parameter, or a value out of its bounds.
    """
    pipeline = request.pipeline
    try:
        return estimators.parse_params(pipeline.estimator, request.task, pipeline.params)
    except BadParameterError as error:
        raise BadSpec("BadParameter", str(error)) from error


def _check_features(request: RunRequest) -> None:
    names = [feature.name for feature in request.features]
    if not names:
        raise BadSpec("InvalidSpec", "features must name at least one column")
    for name in names:
        if names.count(name) > 1:
            raise BadSpec("InvalidSpec", f"feature {name!r} is listed twice")
    if request.target in names:
        raise BadSpec("InvalidSpec", f"the target {request.target!r} cannot be a feature as well")
    for feature in request.features:
        _check_feature(feature, request.pipeline.estimator)


def _check_feature(feature: Feature, estimator: str) -> None:
    if feature.name in OUTPUTS:
        raise BadSpec(
            "InvalidSpec", f"a feature cannot be called {feature.name!r}: an output has that name"
        )
    for field, allowed in ALLOWED.items():
        value = getattr(feature, field)
        if value not in allowed:
            choices = ", ".join(each for each in allowed if each)
            raise BadSpec(
                "InvalidSpec", f"feature {feature.name!r}: {field} must be one of {choices}"
            )
    if feature.missing == "Native" and estimator not in TREES_THAT_TAKE_NAN:
        raise BadSpec(
            "InvalidSpec",
            f"feature {feature.name!r}: {estimator} does not take missing values; "
            "use missing: ImputeMedian",
        )
    if feature.max_categories < 1:
        raise BadSpec("InvalidSpec", f"feature {feature.name!r}: maxCategories must be at least 1")


def _check_split(request: RunRequest) -> None:
    split = request.split
    if split.strategy not in STRATEGIES:
        raise BadSpec("InvalidSpec", f"split.strategy must be one of {', '.join(STRATEGIES)}")
    if not 0 < split.test_fraction < 1:
        raise BadSpec("InvalidSpec", "split.testFraction must lie between 0 and 1")
    if split.strategy == "Time" and not split.time_column:
        raise BadSpec("InvalidSpec", "split.strategy Time needs split.timeColumn")


def _check_gate(task: str, gate: MetricGate) -> None:
    metric = metrics.METRICS.get(gate.name)
    if metric is None or metric.task != task:
        raise BadSpec(
            "UnknownMetric",
            f"{gate.name!r} is no metric for {task}; "
            f"there are {', '.join(metrics.metrics_for(task))}",
        )
    if gate.min is None and gate.max is None and gate.versus_champion is None:
        raise BadSpec("InvalidSpec", f"gate {gate.name!r} needs min, max or versusChampion")
    champion = gate.versus_champion
    if champion is not None and not (0 < champion.confidence < 1 and champion.max_drop >= 0):
        raise BadSpec(
            "InvalidSpec",
            f"gate {gate.name!r}: maxDrop must not be negative, confidence lies between 0 and 1",
        )
