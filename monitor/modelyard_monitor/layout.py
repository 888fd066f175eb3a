"""One profile as a vector: where the counts of each column lie.

Counts of a process, of a bucket and of a window are vectors of one layout, so that they are added
and subtracted as a whole.  A vector begins with the rows and the requests; each column follows with
its bins, then its missing, new and out-of-range values.
"""

import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from modelyard_core.errors import ShapeError
from modelyard_core.reference import CategoryProfile, NumericProfile, Profile
from modelyard_core.sketch import Counts, RoleSketch

IntArray = npt.NDArray[np.int64]

HEAD = 2
"""Rows and requests come first."""
TAIL = 3
"""Missing, new and out-of-range values end a column."""


@dataclass(frozen=True, slots=True)
class Column:
    """One feature, or the prediction, and its place in the vector."""

    name: str
    profile: NumericProfile | CategoryProfile
    begin: int
    bins: int
    is_prediction: bool = False

    @property
    def end(self) -> int:
        """The position behind the column."""
        return self.begin + self.bins + TAIL


@dataclass(frozen=True, slots=True)
class Observed:
    """The counts of one column, taken out of a vector."""

    bins: IntArray
    missing: int
    new: int
    out_of_range: int

    @property
    def present(self) -> int:
        """Rows that had a value."""
        return int(self.bins.sum()) + self.new


@dataclass(frozen=True, slots=True)
class Layout:
    """The places of all columns of one profile."""

    features: tuple[Column, ...]
    prediction: Column

    @property
    def size(self) -> int:
        """The length of a vector."""
        return self.prediction.end

    @classmethod
    def of(cls, profile: Profile) -> "Layout":
        """Return the layout of a profile: features in its order, then the prediction."""
        everything: list[NumericProfile | CategoryProfile] = [
            *profile.numeric,
            *profile.categories,
            profile.prediction,
        ]
        columns = []
        position = HEAD
        for each in everything:
            is_prediction = each is profile.prediction
            column = Column(each.name, each, position, len(each.counts), is_prediction)
            columns.append(column)
            position = column.end
        return cls(features=tuple(columns[:-1]), prediction=columns[-1])

    def zero(self) -> IntArray:
        """Return the vector of nothing seen."""
        return np.zeros(self.size, dtype=np.int64)

    def vector(self, sketch: RoleSketch) -> IntArray:
        """Return what one role saw as a vector.

        Raises:
            ShapeError: the counts belong to another profile.
        """
        vector = self.zero()
        try:
            vector[:HEAD] = sketch.rows, sketch.requests
            for column in self.features:
                if column.name not in sketch.features:
                    raise ShapeError(f"the sketch has no feature {column.name!r}")
                _place(vector, column, sketch.features[column.name])
            _place(vector, self.prediction, sketch.prediction)
        except OverflowError as error:
            raise ShapeError("the sketch has a count that no pod reaches") from error
        return vector

    def counts(self, vector: IntArray, column: Column) -> Observed:
        """Return the counts of one column."""
        tail = column.begin + column.bins
        missing, new, out_of_range = (int(count) for count in vector[tail : column.end])
        return Observed(vector[column.begin : tail], missing, new, out_of_range)


def rows(vector: IntArray) -> int:
    """Return how many rows a vector counts."""
    return int(vector[0])


def pack(vector: IntArray) -> bytes:
    """Return a vector as bytes to be stored."""
    return zlib.compress(vector.astype("<i8").tobytes(), 1)


def unpack(data: bytes) -> IntArray:
    """Return the vector that `pack` stored."""
    return np.frombuffer(zlib.decompress(data), dtype="<i8").astype(np.int64)


def _place(vector: IntArray, column: Column, counts: Counts) -> None:
    if len(counts.bins) != column.bins:
        raise ShapeError(
            f"{column.name!r} has {len(counts.bins)} bins where the profile has {column.bins}"
        )
    vector[column.begin : column.end] = (
        *counts.bins,
        counts.missing,
        counts.new,
        counts.out_of_range,
    )
