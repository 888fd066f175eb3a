"""Counting rows over a profile's bins, all numeric columns and the prediction at once.

Pure; knows no request.

All that is to be known of values follows from how many reach which threshold: one begins each bin,
one begins the reference's range, one is just above it, and one is reached by all but NaN.  To
compare each value with all thresholds costs less than to search among them as long as these are
some dozen: it is the same work for every value, for many of them at once.

Numbers come as float32 or float64, [columns, rows]: every number of 16 or 32 bits is one exactly.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelyard_core import fourier
from modelyard_core.reference import CategoryProfile, FourierProfile, NumericProfile
from modelyard_core.sketch import Counts
from modelyard_serving import codec

Floats = NDArray[np.float64]
Numeric = NDArray[np.float32] | NDArray[np.float64]
Integers = NDArray[np.int64]
Name = str | None
"""Of a column; None is the prediction, which no feature can be called."""

LIMIT = fourier.CLIP * fourier.UNITS
INTEGERS_FROM = 1.5 * 2.0**52
"""Added to a float64 it leaves whole numbers, which the lowest bits then hold, modulo 2⁵¹."""
ROUNDED = ("FP16", "BF16", "FP32")
"""Datatypes in which the model sees a profile's numbers rounded."""
SINGLE = frozenset({*ROUNDED, "BOOL", "INT8", "INT16", "UINT8", "UINT16"})
"""Datatypes of which every value is a float32 exactly."""
FOURIER_ROWS = 1024
"""Of which features are added up at once, at most: the sum is exact in float32."""
COMPARED = 64
"""Thresholds of a column whose values are compared with all of them; with more they are searched."""
BLOCK_BYTES = 1 << 20
"""Results of comparisons that are made before they are added up, a byte each: the cache holds them."""
BUFFER = 16
"""Elements of numpy's: into a larger one it first writes a column's number once for each value."""
LANES = 8
"""Bytes of a word; each may count to 255."""
MOST_BLOCK_ROWS = LANES * 255
EVEN_BYTES = np.uint64(0x00FF00FF00FF00FF)
ONE_IN_EACH_PAIR = np.uint64(0x0001000100010001)
BYTE_BITS, TOP_PAIR_BITS = np.uint64(8), np.uint64(48)


class Scratch:
    """Memory that is used again and again: new pages for every piece cost more than counting it."""

    def __init__(self, dtype: "np.dtype[Any]") -> None:
        self._memory: NDArray[Any] = np.empty(0, dtype)

    def array(self, shape: tuple[int, int]) -> NDArray[Any]:
        """Return an array of this shape, with anything in it; the one before it is gone."""
        size = shape[0] * shape[1]
        if len(self._memory) < size:
            self._memory = np.empty(size, self._memory.dtype)
        return self._memory[:size].reshape(shape)


class Features:
    """The Fourier features of a profile, for whole arrays of rows."""

    def __init__(self, profile: FourierProfile, columns: Sequence[Name]) -> None:
        self.count = len(profile.sums)
        # In parts of a phase: a power of two takes nothing from a whole number.
        parts = 2.0 ** (fourier.TURN_BITS - fourier.PHASE_BITS)
        # What is then rounded to the nearest whole number is that one less: so it is rounded down.
        half = 0.5 - 0.5 / parts
        self._weights = np.zeros((self.count, len(columns) + 1))
        self._weights[:, -1] = np.array(fourier.offsets(profile.seed, self.count)) / parts - half
        for name in profile.columns:
            weights = fourier.weights(profile.seed, name, profile.distance, self.count)
            self._weights[:, columns.index(name)] = np.array(weights) / parts
        self._table = np.array(fourier.cosines(), dtype=np.float32)
        self._ones = np.ones(FOURIER_ROWS, dtype=np.float32)
        self._turns = Scratch(np.dtype(np.float64))
        self._cosines = Scratch(np.dtype(np.float32))

    def sums(self, standardised: Floats) -> Integers:
        """Return Σ f over at most FOURIER_ROWS rows.

        `standardised` is z · UNITS and a row of ones below it, [columns + 1, rows].
        """
        # Whole numbers below 2⁵³ are multiplied and added exactly, in whatever order.
        shape = (self.count, standardised.shape[1])
        turns = np.matmul(self._weights, standardised, out=self._turns.array(shape))
        turns += INTEGERS_FROM
        phases = turns.view(np.int64)
        phases &= fourier.PHASES - 1
        # Each phase has a place in the table.  Another mode would write into a copy first.
        cosines = self._table.take(phases, out=self._cosines.array(shape), mode="clip")
        # 1,024 whole numbers of at most 2¹⁴ are added exactly in float32, in half the time as a product.
        sums: Integers = (cosines @ self._ones[: shape[1]]).astype(np.int64)
        return sums


class Column:
    """What one numeric column is measured with."""

    def __init__(
        self, profile: NumericProfile, datatype: str, dtype: "np.dtype[np.floating]"
    ) -> None:
        """Take the datatype in which the model sees it, and the type of the values that come."""
        self.is_summed = profile.mean is not None and profile.scale is not None
        self.mean = profile.mean or 0.0
        self.per_unit = fourier.UNITS / (profile.scale or 1.0)
        lowest, highest, *edges = rounded(
            (profile.minimum, profile.maximum, *profile.edges), datatype
        )
        wanted = [first_from([-np.inf, lowest], dtype), first_above([highest, *edges], dtype)]
        self.thresholds, self._places = np.unique(np.concatenate(wanted), return_inverse=True)

    def counts(self, rows: int, reached: Integers, sums: Sequence[int] | None) -> Counts:
        """Return what is known of so many rows by how many of them reached which threshold."""
        present, in_or_above, above, *passed = reached[self._places].tolist()
        return Counts(
            bins=tuple(some - fewer for some, fewer in pairwise((present, *passed, 0))),
            missing=rows - present,
            out_of_range=present - in_or_above + above,
            sums=None if sums is None else (sums[0], sums[1]),
        )


class Ruler:
    """What the numeric columns of a profile are measured with; shared by all roles."""

    def __init__(
        self, columns: Mapping[Name, tuple[NumericProfile, str]], features: FourierProfile | None
    ) -> None:
        """Take each column's profile and the datatype in which the model sees it, or gives it."""
        single = all(datatype in SINGLE for _, datatype in columns.values())
        self.dtype: np.dtype[np.floating] = np.dtype(np.float32 if single else np.float64)
        """Of the values that come."""
        self.columns = {name: Column(*each, self.dtype) for name, each in columns.items()}
        table = [each.thresholds for each in self.columns.values()]
        self.most = max(map(len, table), default=0)
        """Thresholds of the column with the most."""
        few = [place for place, each in enumerate(table) if len(each) <= COMPARED]
        self._comparison = Comparison([table[place] for place in few], self.dtype)
        self._compared = span(few)
        self._searched = {
            place: np.append(each, np.nan)
            for place, each in enumerate(table)
            if len(each) > COMPARED
        }
        summed = {name: each for name, each in self.columns.items() if each.is_summed}
        self.summed = [place for place, name in enumerate(self.columns) if name in summed]
        self._summed = span(self.summed)
        self._mean = np.array([each.mean for each in summed.values()])[:, None]
        self._per_unit = np.array([each.per_unit for each in summed.values()])[:, None]
        self._standardised = Scratch(np.dtype(np.float64))
        self.features: Features | None = None
        known = features is not None and features.scheme == fourier.SCHEME
        if features is not None and known and summed.keys() >= set(features.columns):
            self.features = Features(features, list(summed))

    def reached(self, values: Numeric) -> Integers:
        """Return how many values of each column reach each of its thresholds."""
        found = np.zeros((len(self.columns), self.most), dtype=np.int64)
        found[self._compared, : self._comparison.most] = self._comparison.reached(
            values[self._compared]
        )
        for place, thresholds in self._searched.items():
            found[place, : len(thresholds) - 1] = reached_by_search(thresholds, values[place])
        return found

    def standardise(self, values: Numeric) -> tuple[Floats, Floats]:
        """Return z · UNITS of the summed columns in whole numbers, and their sums.

        It is 0, the mean, for what is missing.  Below them is a row of ones: [columns + 1, rows].  The
        next call writes into the same place.
        """
        found = self._standardised.array((len(self.summed) + 1, values.shape[1]))
        found[-1] = 1.0
        units = found[:-1]
        units[:] = values[self._summed]
        units -= self._mean
        units *= self._per_unit
        np.rint(units, out=units)
        np.clip(units, -LIMIT, LIMIT, out=units)
        # Whole numbers whose sum stays below 2⁵³ are added exactly in float64, by products, too.
        sums = units @ found[-1]
        if np.isnan(sums).any():
            units[np.isnan(units)] = 0
            sums = units @ found[-1]
        return found, sums


class Comparison:
    """Compares all values of some columns with all thresholds of their columns."""

    def __init__(self, thresholds: Sequence[Numeric], dtype: "np.dtype[np.floating]") -> None:
        self.most = max(map(len, thresholds), default=0)
        self._thresholds = np.full(
            (len(thresholds), self.most), np.nan, dtype
        )  # no value reaches it
        for row, each in zip(self._thresholds, thresholds, strict=True):
            row[: len(each)] = each
        size = max(1, self._thresholds.size)
        rows = BLOCK_BYTES // size // LANES * LANES
        self._rows = min(max(rows, LANES), MOST_BLOCK_ROWS)
        self._marks = np.empty(self._rows * size, dtype=np.bool_)

    def reached(self, values: Numeric) -> Integers:
        """Return how many values of each column reach each threshold."""
        shape = self._thresholds.shape
        found = np.zeros(shape, dtype=np.int64)
        for begin in range(0, values.shape[1], self._rows):
            some = values[:, None, begin : begin + self._rows]
            rows = some.shape[2]
            whole = -(-rows // LANES) * LANES
            marks = self._marks[: whole * self._thresholds.size].reshape(*shape, whole)
            np.greater_equal(some, self._thresholds[:, :, None], out=marks[:, :, :rows])
            marks[:, :, rows:] = False
            found += _marked(marks)
        return found


def _marked(marks: NDArray[np.bool_]) -> Integers:
    """Return how many are true along the last axis: eight at once, as bytes of a word."""
    lanes = marks.view(np.uint64).sum(axis=-1)
    pairs = (lanes & EVEN_BYTES) + (lanes >> BYTE_BITS & EVEN_BYTES)
    counts: Integers = (pairs * ONE_IN_EACH_PAIR >> TOP_PAIR_BITS).astype(np.int64)
    return counts


def reached_by_search(thresholds: Numeric, values: Numeric) -> Integers:
    """Return how many values reach each of ascending thresholds, of which the last is NaN.

    >>> values = np.array([np.nan, 0.0, 1.0])
    >>> reached_by_search(np.array([-np.inf, 1.0, 2.0, np.nan]), values).tolist()
    [2, 1, 0]
    """
    size = len(thresholds)
    # NaN is sorted behind all numbers, so only NaN is placed behind the last threshold.
    places = np.searchsorted(thresholds, values, side="right")
    at = np.bincount(places, minlength=size + 1)[:size]
    return np.asarray(at[:0:-1].cumsum()[::-1], dtype=np.int64)


@contextmanager
def _calm() -> Iterator[None]:
    """Let infinite and missing numbers pass without a word, and columns be read a part at a time."""
    with np.errstate(over="ignore", invalid="ignore"):  # which restores the buffer, too
        np.setbufsize(BUFFER)
        yield


class Numbers:
    """Cumulative counts and sums of numeric columns."""

    def __init__(self, ruler: Ruler) -> None:
        columns = len(ruler.columns)
        self._ruler = ruler
        self._rows = 0
        self._reached = np.zeros((columns, ruler.most), dtype=np.int64)
        self._sums = np.zeros((2, len(ruler.summed)), dtype=np.int64)
        self._fourier = np.zeros(ruler.features.count if ruler.features else 0, dtype=np.int64)

    def add_bins(self, values: Numeric) -> None:
        """Count rows; `values` is [columns, rows]."""
        self._rows += values.shape[1]
        with _calm():
            self._reached += self._ruler.reached(values)

    def add_sums(self, values: Numeric) -> None:
        """Add up the same rows."""
        if self._ruler.summed:
            with _calm():
                self._add_sums(*self._ruler.standardise(values))

    def _add_sums(self, standardised: Floats, sums: Floats) -> None:
        units = standardised[:-1]
        self._sums[0] += sums.astype(np.int64)
        self._sums[1] += np.vecdot(units, units).astype(np.int64)
        if self._ruler.features is not None:
            self._fourier += self._ruler.features.sums(standardised)

    def counts(self) -> dict[Name, Counts]:
        """Return what was counted, by column."""
        sums = dict(zip(self._ruler.summed, self._sums.T.tolist(), strict=True))
        return {
            name: column.counts(self._rows, reached, sums.get(place))
            for place, ((name, column), reached) in enumerate(
                zip(self._ruler.columns.items(), self._reached, strict=True)
            )
        }

    def fourier(self) -> tuple[int, ...] | None:
        """Return Σ f over all rows; None where the profile has no features."""
        return None if self._ruler.features is None else tuple(self._fourier.tolist())


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
    dtype = codec.NUMPY_TYPES[datatype] if datatype in ROUNDED else None
    with np.errstate(over="ignore"):  # what is too large is infinite to the model, too
        return exact if dtype is None else exact.astype(dtype).astype(np.float64)


def first_from(numbers: Sequence[float], dtype: "np.dtype[np.floating]") -> Numeric:
    """Return the least value of the type that is at least as large, for each number."""
    with np.errstate(over="ignore"):
        near = np.array(numbers).astype(dtype)
    found: Numeric = np.where(near >= numbers, near, np.nextafter(near, np.inf, dtype=dtype))
    return found


def first_above(numbers: Sequence[float], dtype: "np.dtype[np.floating]") -> Numeric:
    """Return the least value of the type that is larger, for each number; NaN where none is.

    >>> first_above([1.0, np.inf], np.dtype(np.float32)).tolist()
    [1.0000001192092896, nan]
    """
    with np.errstate(over="ignore"):
        near = np.array(numbers).astype(dtype)
    above = np.where(near > numbers, near, np.nextafter(near, np.inf, dtype=dtype))
    found: Numeric = np.where(np.array(numbers) < np.inf, above, np.nan).astype(dtype)
    return found


def span(places: Sequence[int]) -> slice | list[int]:
    """Return places as an index of an array: a slice, which copies nothing, where they are one.

    >>> span([2, 3, 4]), span([0, 2])
    (slice(2, 5, None), [0, 2])
    """
    if not places:
        return slice(0)
    whole = list(places) == list(range(places[0], places[-1] + 1))
    return slice(places[0], places[-1] + 1) if whole else list(places)
