"""Counting rows over a profile's bins, all numeric columns at once.  Pure; knows no request.

Numbers come as float64, [columns, rows]: every number of 16 or 32 bits is one exactly.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from modelyard_core import fourier
from modelyard_core.reference import CategoryProfile, FourierProfile, NumericProfile
from modelyard_core.sketch import Counts

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

LIMIT = fourier.CLIP * fourier.UNITS
WHOLE_TURNS = float(1 << 48)
"""Added to phases so that none is negative: what is cut off is then always rounded down."""
ROUNDED = {
    "FP16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "FP32": np.dtype(np.float32),
}
"""Datatypes in which the model sees a profile's numbers rounded."""


class Features:
    """The Fourier features of a profile, for whole arrays of rows."""

    def __init__(self, profile: FourierProfile, columns: Sequence[str]) -> None:
        self.count = len(profile.sums)
        self._places = [columns.index(name) for name in profile.columns]
        weights = [
            fourier.weights(profile.seed, name, profile.distance, self.count)
            for name in profile.columns
        ]
        self._weights = np.array(weights, dtype=np.float64)
        self._offsets = np.array(fourier.offsets(profile.seed, self.count)) + WHOLE_TURNS
        self._table = np.array(fourier.cosines(), dtype=np.int32)

    def sums(self, standardised: Floats) -> Integers:
        """Return Σ f over the rows; `standardised` is z · UNITS, [columns, rows]."""
        # Whole numbers below 2⁵³ are multiplied and added exactly, in whatever order.
        turns = standardised[self._places].T @ self._weights
        turns += self._offsets
        turns *= 2.0 ** (fourier.PHASE_BITS - fourier.TURN_BITS)
        phases = turns.astype(np.int64)
        phases &= fourier.PHASES - 1
        sums: Integers = self._table.take(phases).sum(axis=0, dtype=np.int64)
        return sums


class Ruler:
    """What the numeric columns of a profile are measured with; shared by all roles."""

    def __init__(
        self, columns: Mapping[str, tuple[NumericProfile, str]], features: FourierProfile | None
    ) -> None:
        """Take each column's profile and the datatype in which the model sees it."""
        self.names = list(columns)
        profiles = [profile for profile, _ in columns.values()]
        self.edges = [rounded(each.edges, datatype) for each, datatype in columns.values()]
        ranges = [
            rounded((each.minimum, each.maximum), datatype) for each, datatype in columns.values()
        ]
        self.low, self.high = np.array(ranges).reshape(-1, 2).T[:, :, None]
        sizes = np.array([len(edges) + 2 for edges in self.edges], dtype=np.int64)
        self.end = np.cumsum(sizes)
        """Where the cells of a column end; its last one holds what is missing."""
        self.begin = self.end - sizes
        self.summed = [each.mean is not None and each.scale is not None for each in profiles]
        self.mean = np.array([each.mean or 0.0 for each in profiles])[:, None]
        self.per_unit = np.array([fourier.UNITS / (each.scale or 1.0) for each in profiles])[
            :, None
        ]
        self.features = self._features(features)

    def _features(self, profile: FourierProfile | None) -> Features | None:
        if profile is None or profile.scheme != fourier.SCHEME:
            return None
        summed = {
            name for name, is_summed in zip(self.names, self.summed, strict=True) if is_summed
        }
        return Features(profile, self.names) if summed.issuperset(profile.columns) else None

    def standardise(self, values: Floats, missing: NDArray[np.bool_]) -> Floats:
        """Return z · UNITS in whole numbers; 0, the mean, where a value is missing."""
        with np.errstate(over="ignore", invalid="ignore"):
            found: Floats = np.rint((values - self.mean) * self.per_unit)
        np.clip(found, -LIMIT, LIMIT, out=found)
        found[missing] = 0
        return found


class Numbers:
    """Cumulative counts and sums of numeric columns."""

    def __init__(self, ruler: Ruler) -> None:
        columns = len(ruler.names)
        self._ruler = ruler
        self._cells = np.zeros(ruler.end[-1] if columns else 0, dtype=np.int64)
        self._outside = np.zeros(columns, dtype=np.int64)
        self._sums = np.zeros((columns, 2), dtype=np.int64)
        self._fourier = np.zeros(ruler.features.count if ruler.features else 0, dtype=np.int64)

    def add(self, values: Floats) -> None:
        """Count rows; `values` is [columns, rows]."""
        ruler = self._ruler
        missing = np.isnan(values)
        cells = np.empty(values.shape, dtype=np.int64)
        for column, edges in enumerate(ruler.edges):
            cells[column] = np.searchsorted(edges, values[column], side="left")
        cells += ruler.begin[:, None]
        np.copyto(cells, ruler.end[:, None] - 1, where=missing)
        self._cells += np.bincount(cells.reshape(-1), minlength=len(self._cells))
        self._outside += ((values < ruler.low) | (values > ruler.high)).sum(axis=1)
        if any(ruler.summed):
            self._add_sums(ruler.standardise(values, missing))

    def _add_sums(self, standardised: Floats) -> None:
        # Whole numbers whose sum stays below 2⁵³ are added exactly in float64.
        self._sums[:, 0] += standardised.sum(axis=1).astype(np.int64)
        self._sums[:, 1] += np.square(standardised).sum(axis=1).astype(np.int64)
        if self._ruler.features is not None:
            self._fourier += self._ruler.features.sums(standardised)

    def counts(self) -> dict[str, Counts]:
        """Return what was counted, by column."""
        return {name: self._counts(column) for column, name in enumerate(self._ruler.names)}

    def fourier(self) -> tuple[int, ...] | None:
        """Return Σ f over all rows; None where the profile has no features."""
        return None if self._ruler.features is None else tuple(self._fourier.tolist())

    def _counts(self, column: int) -> Counts:
        *bins, missing = self._cells[self._ruler.begin[column] : self._ruler.end[column]].tolist()
        first, second = self._sums[column].tolist()
        return Counts(
            bins=tuple(bins),
            missing=missing,
            out_of_range=int(self._outside[column]),
            sums=(first, second) if self._ruler.summed[column] else None,
        )


class Categories:
    """Cumulative counts of one categorical column.

    The last cell is *other*, an empty string is missing.
    """

    def __init__(self, profile: CategoryProfile) -> None:
        self._cells = dict.fromkeys(profile.other, len(profile.categories))
        self._cells |= {category: cell for cell, category in enumerate(profile.categories)}
        self._bins = [0] * (len(profile.categories) + 1)
        self._missing = 0
        self._new = 0

    def add(self, values: Sequence[str]) -> None:
        """Count values."""
        for value, count in Counter(values).items():
            cell = self._cells.get(value)
            if cell is not None:
                self._bins[cell] += count
            elif value == "":
                self._missing += count
            else:
                self._new += count

    def counts(self) -> Counts:
        """Return what was counted."""
        return Counts(tuple(self._bins), missing=self._missing, new=self._new)


def rounded(numbers: Sequence[float], datatype: str) -> Floats:
    """Return a profile's numbers as the model sees them: x <= edge holds after rounding as before.

    >>> rounded((0.1,), "FP16").tolist()
    [0.0999755859375]
    """
    exact = np.array(numbers, dtype=np.float64)
    dtype = ROUNDED.get(datatype)
    return exact if dtype is None else exact.astype(dtype).astype(np.float64)
