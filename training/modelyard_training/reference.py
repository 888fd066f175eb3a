"""The reference profile: fixed bins, and how the training rows fell into them.

The monitor tests live counts against these by a minimum-effect PSI test, whose null distribution
holds when every bin of the reference is well filled.  So edges are values that occur (each bin has
a row), there are few bins, and fewer still when rows are few.  A value that many rows share gets a
bin of its own.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from modelyard_core.reference import CategoryProfile, NumericProfile, Profile
from modelyard_core.runs import Feature

BINS = 10
ROWS_PER_BIN = 50
"""Fewest reference rows that a bin should hold."""
CATEGORIES = 50
RARE = 0.001
"""A category with a smaller share has no cell of its own."""
OTHERS = 1000
"""Rare categories that are remembered; a value beyond them counts as new."""


def build_profile(
    features: tuple[Feature, ...], training: pd.DataFrame, scores: npt.NDArray[np.float32]
) -> Profile:
    """Return the profile: features of training rows, scores of held-out rows."""
    numbers = [each.name for each in features if each.type == "Float"]
    categories = [each.name for each in features if each.type == "Category"]
    return Profile(
        rows=len(training),
        numeric=tuple(numeric_profile(name, training[name].to_numpy()) for name in numbers),
        categories=tuple(category_profile(name, training[name].to_numpy()) for name in categories),
        prediction=numeric_profile("prediction", scores),
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
