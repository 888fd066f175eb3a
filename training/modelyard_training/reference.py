"""The reference profile: fixed bins, and how the training rows fell into them.

The monitor tests live counts against these by a minimum-effect PSI test, whose null distribution
holds when every bin of the reference is well filled.  So edges are values that occur (each bin has
a row), there are few bins, and fewer still when rows are few.  A value that many rows share gets a
bin of its own.

The sums over the rows' Fourier features are exact, as those of serving pods are: the same rows give
the same sums wherever they are counted.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from modelyard_core import fourier
from modelyard_core.reference import CategoryProfile, FourierProfile, NumericProfile, Profile
from modelyard_core.runs import Feature

BINS = 10
ROWS_PER_BIN = 50
"""Fewest reference rows that a bin should hold."""
CATEGORIES = 50
RARE = 0.001
"""A category with a smaller share has no cell of its own."""
OTHERS = 1000
"""Rare categories that are remembered; a value beyond them counts as new."""
SEED = 1
"""Of the Fourier features: any does, and it is written into the profile."""
PAIRED_ROWS = 256
"""Rows, evenly spaced, whose distances from each other are measured."""
SLICE_ROWS = 16_384
WHOLE_TURNS = float(1 << 48)
"""Added to phases so that none is negative: what is cut off is then always rounded down."""


def build_profile(
    features: tuple[Feature, ...], training: pd.DataFrame, scores: npt.NDArray[np.float32]
) -> Profile:
    """Return the profile: features of training rows, scores of held-out rows."""
    numbers = [each.name for each in features if each.type == "Float"]
    categories = [each.name for each in features if each.type == "Category"]
    numeric = tuple(numeric_profile(name, training[name].to_numpy()) for name in numbers)
    return Profile(
        rows=len(training),
        numeric=numeric,
        categories=tuple(category_profile(name, training[name].to_numpy()) for name in categories),
        prediction=numeric_profile("prediction", scores),
        fourier=fourier_profile(numeric, training[numbers]),
    )


def numeric_profile(name: str, cells: npt.NDArray[np.float32]) -> NumericProfile:
    """Return bins and counts of a numeric column."""
    present = cells[~np.isnan(cells)].astype(np.float64)
    edges = bin_edges(present)
    counts = np.bincount(np.searchsorted(edges, present, side="left"), minlength=len(edges) + 1)
    return NumericProfile(
        name=name,
        edges=tuple(float(edge) for edge in edges),
        counts=tuple(int(count) for count in counts),
        missing=len(cells) - len(present),
        minimum=float(present.min()) if len(present) else 0.0,
        maximum=float(present.max()) if len(present) else 0.0,
        mean=_shortened(present.mean()) if len(present) else None,
        scale=(_shortened(present.std()) or 1.0) if len(present) else None,
    )


def bin_edges(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return ascending inner edges such that every right-closed bin holds some of the values.

    >>> bin_edges(np.asarray([0.0, 1.0, 0.0, 1.0])).tolist()
    [0.0]
    """
    if len(values) == 0:
        return np.empty(0)
    distinct, counts = np.unique(values, return_counts=True)
    wanted = int(np.clip(len(values) // ROWS_PER_BIN, 2, BINS))
    if len(distinct) <= wanted:
        return np.asarray(distinct[:-1])
    at = np.arange(1, wanted) / wanted
    quantiles = np.quantile(values, at, method="inverted_cdf")
    common = distinct[counts > len(values) / wanted]
    # An edge at the value before a common one leaves that one alone in its bin.
    before = distinct[np.maximum(np.searchsorted(distinct, common) - 1, 0)]
    edges = np.unique(np.concatenate([quantiles, common, before]))
    return np.asarray(edges[edges < distinct[-1]])


def fourier_profile(
    columns: tuple[NumericProfile, ...], cells: pd.DataFrame
) -> FourierProfile | None:
    """Return the Fourier features of rows; None where no numeric column has a value."""
    used = [column for column in columns if column.mean is not None]
    if not used or not len(cells):
        return None
    names = [column.name for column in used]
    some = cells[names].iloc[:: max(1, len(cells) // PAIRED_ROWS)]
    distance = typical_distance(standardised(used, some))
    sums = np.zeros(fourier.FREQUENCIES, dtype=np.int64)
    products = np.zeros((fourier.FREQUENCIES, fourier.FREQUENCIES))
    for begin in range(0, len(cells), SLICE_ROWS):
        rows = standardised(used, cells[names].iloc[begin : begin + SLICE_ROWS])
        values = _features(names, distance, rows)
        sums += values.sum(axis=0).astype(np.int64)
        products += values.T @ values
    return FourierProfile(
        columns=tuple(names),
        seed=SEED,
        distance=distance,
        rows=len(cells),
        sums=tuple(int(each) for each in sums),
        spread=_spread(sums, products, len(cells)),
        scheme=fourier.SCHEME,
    )


def standardised(columns: list[NumericProfile], cells: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Return z · UNITS in whole numbers, [rows, columns]; 0, the mean, where a value is missing."""
    values = cells.to_numpy(dtype=np.float64)
    mean = np.asarray([column.mean for column in columns], dtype=np.float64)
    per_unit = np.asarray([fourier.UNITS / (column.scale or 1.0) for column in columns])
    limit = fourier.CLIP * fourier.UNITS
    found = np.clip(np.rint((values - mean) * per_unit), -limit, limit)
    return np.asarray(np.nan_to_num(found, nan=0.0))


def typical_distance(rows: npt.NDArray[np.float64]) -> float:
    """Return the median distance of standardised rows, to three digits."""
    values = rows / fourier.UNITS
    squares = ((values[:, None, :] - values[None, :, :]) ** 2).sum(axis=2)
    pairs = np.sqrt(squares[np.triu_indices(len(values), 1)])
    return float(f"{np.median(pairs):.3g}") if len(pairs) else 0.0


def _features(
    names: list[str], distance: float, rows: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return f in 1/AMPLITUDE, [rows, frequencies]: whole numbers, as `fourier` defines them."""
    weights = [fourier.weights(SEED, name, distance, fourier.FREQUENCIES) for name in names]
    turns: npt.NDArray[np.float64] = rows @ np.asarray(weights, dtype=np.float64)
    turns += np.asarray(fourier.offsets(SEED, fourier.FREQUENCIES)) + WHOLE_TURNS
    phases = (turns * 2.0 ** (fourier.PHASE_BITS - fourier.TURN_BITS)).astype(np.int64)
    table = np.asarray(fourier.cosines(), dtype=np.float64)
    return table.take(phases & (fourier.PHASES - 1))


def _spread(
    sums: npt.NDArray[np.int64], products: npt.NDArray[np.float64], rows: int
) -> tuple[float, float, float]:
    """Return the traces of the first three powers of the covariance of f."""
    mean = sums / rows / fourier.AMPLITUDE
    covariance = products / rows / fourier.AMPLITUDE**2 - np.outer(mean, mean)
    square = covariance @ covariance
    traces = covariance.trace(), square.trace(), (square @ covariance).trace()
    first, second, third = (_shortened(each) for each in traces)
    return first, second, third


def _shortened(number: float) -> float:
    """Return a number without its last digits, which differ from machine to machine."""
    return float(f"{number:.9g}")


def category_profile(name: str, cells: npt.NDArray[Any]) -> CategoryProfile:
    """Return cells and counts of a categorical column."""
    present, counts = np.unique(cells[cells != ""].astype(str), return_counts=True)
    ranked = sorted(
        zip(present.tolist(), counts.tolist(), strict=True), key=lambda pair: (-pair[1], pair[0])
    )
    total = sum(counts.tolist())
    own = [pair for pair in ranked[:CATEGORIES] if pair[1] >= RARE * total]
    rest = ranked[len(own) :]
    return CategoryProfile(
        name=name,
        categories=tuple(category for category, _ in own),
        counts=(*(count for _, count in own), sum(count for _, count in rest)),
        other=tuple(sorted(category for category, _ in rest[:OTHERS])),
        missing=len(cells) - total,
    )
