"""Proves that the exported model answers as the fitted pipeline does, or refuses it.

Holdout rows alone would pass four of the known silent conversion errors, so probe rows ask what
data seldom asks: missing values, extremes, the float32 neighbours of tree thresholds, unknown and
empty categories, a row with nothing in it, and batches of every size.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pandas as pd

from modelyard_core.runs import Feature, ParityGate
from modelyard_training.failures import CannotConvert
from modelyard_training.pipeline import Fitted
from modelyard_training.scoring import Answers, OnnxModel

HOLDOUT_ROWS = 20_000
"""Held-out rows that are compared, at most."""
THRESHOLDS_PER_FEATURE = 60
KNOWN_CATEGORIES = 200
BATCHES = (1, 2, 1000)
TIE = 1e-5
"""A label is compared only where the best class leads by more than this."""
SHOWN_ROWS = 3
EXTREMES = (0.0, -0.0, 1.0, -1.0, 1e12, -1e12, 1e-38, -1e-38)
LARGEST = (3e38, -3e38)
"""Asked of trees on unscaled numbers only: scaled, or summed up, they leave float32 in both worlds."""
UNKNOWN = ("a category that nobody has", " ", "\u00fc\u4e16")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Parity:
    """How far the exported model is from the fitted one."""

    rows: int
    probes: int
    max_abs: float
    max_rel: float
    label_mismatches: int
    tied: int
    """Rows whose labels were not compared, because two classes tie."""
    worst: tuple[int, ...]
    """Rows that break the bounds, worst first: index into the holdout, then into the probes."""

    @property
    def holds(self) -> bool:
        """Return whether every row kept the bounds."""
        return not self.worst


def prove(
    fitted: Fitted,
    model: OnnxModel,
    content: bytes,
    training: pd.DataFrame,
    holdout: pd.DataFrame,
    bounds: ParityGate,
) -> Parity:
    """Compare both models on held-out and probe rows.

    Raises:
        CannotConvert: shapes, types or bounds do not hold; nothing may be registered.
    """
    names = [feature.name for feature in fitted.features]
    kept = holdout[names].iloc[:HOLDOUT_ROWS]
    probes = probe_rows(fitted, content, training)
    asked = pd.concat([kept, probes], ignore_index=True) if len(kept) else probes
    parity = compare(fitted, model.answer(asked), asked, len(kept), bounds)
    if not parity.holds:
        shown = ", ".join(
            f"holdout row {index}" if index < len(kept) else f"probe {index - len(kept)}"
            for index in parity.worst[:SHOWN_ROWS]
        )
        raise CannotConvert(
            "ParityFailed",
            f"the exported model differs from the fitted one by up to {parity.max_abs:.2g} "
            f"in {len(parity.worst)} of {len(asked)} rows ({shown}); it is not registered",
        )
    _check_batches(model, asked, bounds)
    return parity


def compare(
    fitted: Fitted, answers: Answers, asked: pd.DataFrame, holdout_rows: int, bounds: ParityGate
) -> Parity:
    """Return how far the answers are from the fitted pipeline's."""
    if answers.probabilities is None:
        assert answers.values is not None
        truth: npt.NDArray[Any] = fitted.predict(asked).reshape(-1, 1)
        given: npt.NDArray[Any] = answers.values.reshape(-1, 1)
        wrong_label = tied = np.zeros(len(asked), dtype=np.bool_)
    else:
        assert answers.labels is not None
        truth, given = fitted.probabilities(asked), answers.probabilities
        ordered = np.sort(truth, axis=1)
        tied = ordered[:, -1] - ordered[:, -2] <= TIE
        expected = fitted.predict(asked)
        _check_labels(answers.labels, expected)
        wrong_label = (answers.labels != expected) & ~tied
    if truth.shape != given.shape:
        raise CannotConvert(
            "ParityFailed", f"the exported model's answers have shape {given.shape[1:]}"
        )
    distance = np.abs(given.astype(np.float64) - truth)
    relative = distance / np.maximum(np.abs(truth), np.finfo(np.float64).tiny)
    outside = ~((distance <= bounds.max_abs) | (relative <= bounds.max_rel))  # NaN is outside
    bad = outside.any(axis=1) | wrong_label
    severity = np.where(np.isfinite(distance), distance, np.inf).max(axis=1)
    order = np.argsort(-severity, kind="stable")
    largest = np.nan_to_num(distance, nan=np.inf, posinf=np.finfo(np.float64).max)
    far = np.where(distance > bounds.max_abs, relative, 0.0)
    return Parity(
        rows=holdout_rows,
        probes=len(asked) - holdout_rows,
        max_abs=float(min(largest.max(), np.finfo(np.float64).max)),
        max_rel=float(np.nan_to_num(far, nan=1.0).max()),
        label_mismatches=int(wrong_label.sum()),
        tied=int(tied.sum()),
        worst=tuple(int(index) for index in order if bad[index])[:1000],
    )


def probe_rows(fitted: Fitted, content: bytes, training: pd.DataFrame) -> pd.DataFrame:
    """Return rows that ask what data seldom asks."""
    names = [feature.name for feature in fitted.features]
    base = training[names].iloc[0].to_dict()
    middle = training[names].iloc[len(training) // 2].to_dict()
    rows: list[Row] = []
    thresholds = tree_thresholds(fitted, content)
    for feature in fitted.features:
        cells = training[feature.name]
        values: list[Any]
        if feature.type == "Float":
            values = _number_probes(cells.to_numpy(), thresholds.get(feature.name, ()))
            if thresholds and feature.scale != "Standard":
                values += LARGEST
        else:
            values = _category_probes(cells)
        rows += [{**base, feature.name: value} for value in values]
        rows += [{**middle, feature.name: value} for value in values[: len(EXTREMES)]]
    rows += list(_whole_row_probes(fitted.features, training))
    return _typed(pd.DataFrame(rows, columns=names), fitted.features)


def tree_thresholds(fitted: Fitted, content: bytes) -> dict[str, tuple[float, ...]]:
    """Return, for each number, thresholds of the exported trees in the feature's own unit."""
    found: dict[int, list[float]] = {}
    for node in onnx.load_model_from_string(content).graph.node:
        if node.op_type.startswith("TreeEnsemble"):
            each = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            for mode, column, value in zip(
                each["nodes_modes"], each["nodes_featureids"], each["nodes_values"], strict=True
            ):
                if mode != b"LEAF":
                    found.setdefault(column, []).append(value)
    if not found:
        return {}
    chosen = {}
    for column, (name, scale, mean) in enumerate(_encoded_numbers(fitted)):
        values = sorted(set(found.get(column, ())))
        step = max(1, len(values) // THRESHOLDS_PER_FEATURE)
        chosen[name] = tuple(value * scale + mean for value in values[::step])
    return chosen


def _encoded_numbers(fitted: Fitted) -> Iterator[tuple[str, float, float]]:
    """Yield name, scale and mean of the encoded columns that are numbers, in their order."""
    names = {f"f{index}": feature.name for index, feature in enumerate(fitted.features)}
    for label, step, columns in fitted.pipeline.named_steps["prepare"].transformers_:
        if not label.startswith("number"):
            return  # numbers come first
        scaler = getattr(step, "named_steps", {}).get("scale")
        for index, column in enumerate(columns):
            scale = float(scaler.scale_[index]) if scaler is not None else 1.0
            mean = float(scaler.mean_[index]) if scaler is not None else 0.0
            yield names[column], scale, mean


def _number_probes(cells: npt.NDArray[Any], thresholds: tuple[float, ...]) -> list[float]:
    values = [np.float32(value) for value in EXTREMES]
    values += [np.float32(np.nan), np.nanmin(cells), np.nanmax(cells), np.nanmedian(cells)]
    for threshold in thresholds:
        near = np.float32(threshold)
        below, above = (
            np.nextafter(near, np.float32(-np.inf)),
            np.nextafter(near, np.float32(np.inf)),
        )
        values += [below, near, above]
    return [float(value) for value in values]


def _category_probes(cells: pd.Series) -> list[str]:
    known = sorted(set(cells))[:KNOWN_CATEGORIES]
    return ["", *UNKNOWN, *known]


def _whole_row_probes(features: tuple[Feature, ...], training: pd.DataFrame) -> Iterator[Row]:
    def every(number: float, category: str) -> Row:
        return {each.name: number if each.type == "Float" else category for each in features}

    yield every(float("nan"), "")
    yield every(0.0, UNKNOWN[0])
    yield every(1e12, UNKNOWN[0])
    yield every(-1e12, "")
    for name in (each.name for each in features if each.type == "Float"):
        row = training.iloc[0][[each.name for each in features]].to_dict()
        row[name] = float(np.float32(np.nanmax(training[name].to_numpy())) * 1.5)
        yield row


def _typed(frame: pd.DataFrame, features: tuple[Feature, ...]) -> pd.DataFrame:
    kinds: dict[str, Any] = {
        each.name: np.float32 if each.type == "Float" else object for each in features
    }
    return frame.astype(kinds)


def _check_labels(given: npt.NDArray[Any], expected: npt.NDArray[Any]) -> None:
    numbers = np.issubdtype(given.dtype, np.integer), np.issubdtype(expected.dtype, np.integer)
    if given.shape != expected.shape or numbers[0] != numbers[1]:
        raise CannotConvert(
            "ParityFailed", "the exported model's labels have another type or shape"
        )


def _check_batches(model: OnnxModel, asked: pd.DataFrame, bounds: ParityGate) -> None:
    whole = model.answer(asked).scores
    for size in BATCHES:
        part = model.answer(asked.iloc[-size:]).scores
        expected = whole[-size:]
        close = np.isclose(part, expected, rtol=bounds.max_rel, atol=bounds.max_abs, equal_nan=True)
        if part.shape != expected.shape or not close.all():
            raise CannotConvert(
                "ParityFailed", f"the exported model answers otherwise in batches of {size} rows"
            )
