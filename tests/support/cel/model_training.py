"""ModelTraining."""

from modelyard_core import estimators
from support.cel import Row

VALID = {
    "apiVersion": "modelyard.dev/v1alpha1",
    "kind": "ModelTraining",
    "metadata": {"name": "rain"},
    "spec": {
        "task": "Classification",
        "target": "rain",
        "data": {
            "train": {"configMap": {"name": "weather", "path": "days.csv.gz"}},
            "contract": {"columns": [{"name": "temperature", "min": "-80", "max": "140"}]},
            "split": {"strategy": "Hash", "testFraction": "0.2", "keyColumn": "day"},
        },
        "features": [
            {"name": "temperature", "type": "Float", "missing": "ImputeMedian"},
            {"name": "station", "type": "Category", "encode": "OneHot", "maxCategories": 10},
        ],
        "pipeline": {"estimator": "HistGradientBoosting"},
        "gates": {"metrics": [{"name": "roc_auc", "min": "0.75", "max": "1"}]},
        "runtime": {"tolerations": [{"key": "gpu", "operator": "Exists"}]},
    },
}
PIPELINE = "spec.pipeline"
TRAIN = "spec.data.train"
SPLIT = "spec.data.split"
GATE = "spec.gates.metrics.0"
REGRESSION = {"spec.task": "Regression", GATE: {"name": "rmse", "max": "3"}}
LONG = "a" * 49


def _params(estimator: estimators.Estimator, **params: str) -> dict:
    return {PIPELINE: {"estimator": estimator.name, "params": params}} | (
        REGRESSION if "loss" in params else {}
    )


def _parameter_rows():
    for estimator in estimators.ESTIMATORS.values():
        names = ", ".join(parameter.name for parameter in estimator.parameters)
        yield Row(
            f"{estimator.name} takes the params {names}; rename or remove the others",
            breaks=_params(estimator, penalty="l1"),
        )
        for parameter in estimator.parameters:
            yield Row(
                _complaint(estimator, parameter),
                breaks=_params(estimator, **{parameter.name: "-1"}),
                keeps=_params(estimator, **{parameter.name: parameter.default}),
            )


def _complaint(estimator, parameter) -> str:
    head = f"{estimator.name}: {parameter.name} must be "
    if parameter.kind is estimators.Kind.CHOICE:
        return f"{head}one of {', '.join(parameter.choices)}"
    what = "an integer" if parameter.kind is estimators.Kind.INTEGER else "a number"
    tail = ", or none" if parameter.optional else ""
    return f"{head}{what} from {parameter.minimum:g} to {parameter.maximum:g}{tail}"


ROWS = (
    Row(
        "metadata.name must have at most 48 characters, so that the names of its children fit",
        breaks={"metadata.name": LONG},
        keeps={"metadata.name": LONG[1:]},
    ),
    Row(
        "metadata.name must start with a letter and contain only lower-case letters, digits and "
        "dashes, because a Service carries it",
        breaks={"metadata.name": "2.rain"},
    ),
    Row(
        "loss has no meaning for Classification; remove it from pipeline.params",
        breaks={f"{PIPELINE}.params": {"loss": "squared_error"}},
    ),
    Row(
        "class_weight has no meaning for Regression; remove it from pipeline.params",
        breaks=REGRESSION | {f"{PIPELINE}.params": {"class_weight": "balanced"}},
        keeps=REGRESSION,
    ),
    Row(
        "metrics for Classification are roc_auc, log_loss, accuracy, f1, precision, recall, "
        "average_precision, brier",
        breaks={f"{GATE}.name": "rmse"},
        keeps={f"{GATE}.name": "brier"},
    ),
    Row(
        "metrics for Regression are mae, rmse, r2, mape",
        breaks=REGRESSION | {f"{GATE}.name": "roc_auc"},
        keeps=REGRESSION,
    ),
    Row(
        "estimators for Regression are RandomForest, HistGradientBoosting",
        breaks=REGRESSION | {f"{PIPELINE}.estimator": "Logistic"},
        keeps=REGRESSION | {f"{PIPELINE}.estimator": "RandomForest"},
    ),
    Row(
        "the target must not be one of the features; remove it from features",
        breaks={"spec.target": "temperature"},
    ),
    Row(
        "missing: Native works with HistGradientBoosting only; use missing: ImputeMedian",
        breaks={"spec.features.0.missing": "Native", f"{PIPELINE}.estimator": "Logistic"},
        keeps={"spec.features.0.missing": "Native"},
    ),
    Row(
        "give exactly one of pvc, configMap",
        breaks={f"{TRAIN}.pvc": {"claimName": "c", "path": "a.csv"}},
        keeps={TRAIN: {"pvc": {"claimName": "c", "path": "a.csv"}}},
    ),
    Row(
        "path is relative to the claim's root and stays inside it; drop the leading / and ..",
        breaks={TRAIN: {"pvc": {"claimName": "c", "path": "../a.csv"}}},
        keeps={TRAIN: {"pvc": {"claimName": "c", "path": "a/b.csv"}}},
    ),
    Row(
        "path must end in csv, csv.gz or parquet, which names the format",
        breaks={f"{TRAIN}.configMap.path": "days.xlsx"},
        keeps={f"{TRAIN}.configMap.path": "days.parquet"},
    ),
    Row(
        "min must not be above max",
        breaks={"spec.data.contract.columns.0.min": "200"},
        keeps={"spec.data.contract.columns.0.min": "140"},
    ),
    Row("min must not be above max", breaks={f"{GATE}.min": "2"}, keeps={f"{GATE}.min": "1"}),
    Row(
        "strategy Time needs timeColumn, the column that orders the rows",
        breaks={SPLIT: {"strategy": "Time"}},
        keeps={SPLIT: {"strategy": "Time", "timeColumn": "day"}},
    ),
    Row(
        "keyColumn belongs to strategy Hash; drop it or use strategy: Hash",
        breaks={SPLIT: {"strategy": "Time", "timeColumn": "day", "keyColumn": "day"}},
    ),
    Row(
        "timeColumn belongs to strategy Time; drop it or use strategy: Time",
        breaks={f"{SPLIT}.timeColumn": "day"},
    ),
    Row(
        "testFraction must be from 0.01 to 0.9, such as 0.2",
        breaks={f"{SPLIT}.testFraction": "0.95"},
        keeps={f"{SPLIT}.testFraction": "0.9"},
    ),
    Row(
        "missing and scale belong to Float features; a missing category is a category",
        breaks={"spec.features.1.missing": "ImputeMedian"},
    ),
    Row(
        "encode and maxCategories belong to Category features; drop them or use type: Category",
        breaks={"spec.features.0.encode": "OneHot"},
    ),
    Row(
        "label, probabilities and prediction are names of outputs; rename the column",
        breaks={"spec.features.0.name": "label"},
    ),
    Row(
        "a gate needs min, max or versusChampion",
        breaks={GATE: {"name": "roc_auc"}},
        keeps={GATE: {"name": "roc_auc", "versusChampion": {"maxDrop": "0.01"}}},
    ),
    Row(
        "confidence must be from 0.5 to 0.999, such as 0.95",
        breaks={f"{GATE}.versusChampion": {"maxDrop": "0.01", "confidence": "1"}},
        keeps={f"{GATE}.versusChampion": {"maxDrop": "0.01", "confidence": "0.9"}},
    ),
    Row(
        "requests.memory must equal limits.memory, so that a run is not ended by its neighbours; "
        "drop one of them",
        breaks={
            "spec.runtime.resources": {"requests": {"memory": "1Gi"}, "limits": {"memory": "2Gi"}}
        },
        keeps={
            "spec.runtime.resources": {"requests": {"memory": "1Gi"}, "limits": {"memory": "1Gi"}}
        },
    ),
    Row(
        "a toleration with operator Exists takes no value; drop value or use operator Equal",
        breaks={"spec.runtime.tolerations.0.value": "yes"},
        keeps={"spec.runtime.tolerations.0": {"key": "gpu", "operator": "Equal", "value": "yes"}},
    ),
    *_parameter_rows(),
)
