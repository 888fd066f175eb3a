"""Builds and fits the pipeline that a request describes, from the allow-list only.

The preparations are those whose ONNX form answers the same for every input: numbers stay float32,
are scaled in float64 and cast back, and the median fills what is missing; the categories of an
encoder are listed beforehand, so that a rare, an unknown and a missing one mean the same in both
worlds.  Columns are called f0, f1, … inside, because the converter renames what is no identifier.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from skl2onnx.sklapi import CastTransformer
from sklearn import ensemble, linear_model
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from modelyard_core.estimators import CLASSIFICATION, ParameterValue
from modelyard_core.runs import Feature, RunRequest
from modelyard_training import warned
from modelyard_training.failures import BadData

UNKNOWN_CATEGORY = -1


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted pipeline, with the feature names that it was fitted by."""

    pipeline: Any
    features: tuple[Feature, ...]
    classes: tuple[int | str, ...]
    """Empty for a regression."""
    notes: tuple[str, ...]
    """What the reader of the card should know about the fit."""

    def predict(self, frame: pd.DataFrame) -> npt.NDArray[Any]:
        """Return labels or values."""
        with _unhindered():
            return np.asarray(self.pipeline.predict(inner_frame(self.features, frame)))

    def probabilities(self, frame: pd.DataFrame) -> npt.NDArray[np.float64]:
        """Return one column for each class."""
        with _unhindered():
            return np.asarray(self.pipeline.predict_proba(inner_frame(self.features, frame)))


def _unhindered() -> np.errstate:
    """Ignore the processor's flags: OpenBLAS sets some for right products (numpy#24067, #28967).

    What is not finite is found in the answers themselves.
    """
    return np.errstate(all="ignore")


def inner_name(index: int) -> str:
    """Return the name of a feature inside the pipeline."""
    return f"f{index}"


def inner_frame(features: tuple[Feature, ...], frame: pd.DataFrame) -> pd.DataFrame:
    """Return the feature columns under their inner names."""
    chosen = frame[[feature.name for feature in features]]
    return chosen.set_axis([inner_name(i) for i in range(len(features))], axis=1)


def fit(
    request: RunRequest,
    frame: pd.DataFrame,
    target: npt.NDArray[Any],
    params: Mapping[str, ParameterValue],
    threads: int,
) -> Fitted:
    """Fit the request's pipeline on training rows.

    Raises:
        BadData: a column has no value at all.
    """
    _check_values(request.features, frame)
    pipeline = Pipeline(
        [
            ("prepare", _preparation(request.features, frame)),
            ("estimate", build_estimator(request, params, threads)),
        ]
    )
    inner = inner_frame(request.features, frame)
    with warned.recorded(ConvergenceWarning) as notes:
        pipeline.fit(inner, target)
    _round_thresholds(pipeline.named_steps["estimate"])
    classes = pipeline.classes_.tolist() if request.task == CLASSIFICATION else ()
    return Fitted(pipeline, request.features, tuple(classes), tuple(notes))


def build_estimator(request: RunRequest, params: Mapping[str, ParameterValue], threads: int) -> Any:
    """Return the unfitted estimator."""
    chosen: dict[str, Any] = dict(params)
    is_classification = request.task == CLASSIFICATION
    match request.pipeline.estimator:
        case "Logistic":
            return linear_model.LogisticRegression(random_state=request.pipeline.seed, **chosen)
        case "RandomForest":
            if chosen["max_features"] == "all":
                chosen["max_features"] = None
            kind = (
                ensemble.RandomForestClassifier
                if is_classification
                else ensemble.RandomForestRegressor
            )
            return kind(random_state=request.pipeline.seed, n_jobs=threads, **chosen)
        case _:
            boosting = (
                ensemble.HistGradientBoostingClassifier
                if is_classification
                else ensemble.HistGradientBoostingRegressor
            )
            # Early stopping would depend on the number of rows, and hide it.
            return boosting(random_state=request.pipeline.seed, early_stopping=False, **chosen)


def categories_of(feature: Feature, cells: pd.Series) -> list[str]:
    """Return the categories that get a place of their own: the most frequent ones, sorted."""
    counts = cells.value_counts()
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return sorted(str(category) for category, _ in ranked[: feature.max_categories])


def _preparation(features: tuple[Feature, ...], frame: pd.DataFrame) -> Any:
    groups: dict[tuple[str, str], list[str]] = {}
    steps: list[tuple[str, Any, list[str]]] = []
    for index, feature in enumerate(features):
        if feature.type == "Float":
            how = (feature.missing or "ImputeMedian", feature.scale or "None")
            groups.setdefault(how, []).append(inner_name(index))
        else:
            encoder = _encoder(feature, frame[feature.name])
            steps.append((f"category{index}", encoder, [inner_name(index)]))
    numeric = [
        (f"number{missing}{scale}", _number_steps(missing, scale), names)
        for (missing, scale), names in groups.items()
    ]
    return ColumnTransformer([*numeric, *steps])


def _number_steps(missing: str, scale: str) -> Any:
    steps: list[tuple[str, Any]] = []
    if missing == "ImputeMedian":
        steps.append(("impute", SimpleImputer(strategy="median")))
    if scale == "Standard":
        steps += [
            ("to64", CastTransformer(dtype=np.float64)),
            ("scale", StandardScaler()),
            ("to32", CastTransformer(dtype=np.float32)),
        ]
    return Pipeline(steps) if steps else "passthrough"


def _encoder(feature: Feature, cells: pd.Series) -> Any:
    categories = [np.asarray(categories_of(feature, cells), dtype=object)]
    if feature.encode == "Ordinal":
        return OrdinalEncoder(
            categories=categories,
            handle_unknown="use_encoded_value",
            unknown_value=UNKNOWN_CATEGORY,
            dtype=np.float32,
        )
    return OneHotEncoder(
        categories=categories, handle_unknown="ignore", sparse_output=False, dtype=np.float32
    )


def _round_thresholds(estimator: Any) -> None:
    """Round the float64 thresholds of boosted trees down to float32.

    No answer changes, because every input is float32: x <= t holds exactly when x <= floor32(t).
    The converter would round to the nearest, and a value between would take the other branch.
    """
    for stage in getattr(estimator, "_predictors", ()):
        for predictor in stage:
            exact = predictor.nodes["num_threshold"]
            with np.errstate(over="ignore"):
                nearest = exact.astype(np.float32)
            below = np.nextafter(nearest, np.float32(-np.inf))
            predictor.nodes["num_threshold"] = np.where(nearest > exact, below, nearest)


def _check_values(features: tuple[Feature, ...], frame: pd.DataFrame) -> None:
    for feature in features:
        cells = frame[feature.name].to_numpy()
        absent = cells == "" if feature.type == "Category" else np.isnan(cells)
        if absent.all():
            raise BadData("ColumnEmpty", f"column {feature.name!r} has no value in training rows")
