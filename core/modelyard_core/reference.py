"""The reference distribution of a model: fixed bins and how the training rows fell into them.

Numeric bins are right-closed: value x is in bin i when edges[i-1] < x <= edges[i]; there are
len(edges) + 1 bins, the first and last unbounded.  NaN is missing.  Categorical cells are the
listed categories, then *other*: what the reference saw too rarely for a cell of its own.  A value
that the reference never saw is *new* and counted apart, as are missing values and, for numbers,
values outside the reference's minimum and maximum (those fall into their bin as well).

Fields that have a default came later: a bundle never changes, so a profile without them is read
for ever, and what they allow to count is not counted.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NumericProfile:
    """One numeric column."""

    name: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    missing: int
    minimum: float
    maximum: float
    input: str = ""
    """The model's input that holds the column; empty where the input is named as the column."""
    index: int = -1
    """The place of the column in each row of `input`."""
    mean: float | None = None
    """Of the values that are present; with `scale` it makes standardised values."""
    scale: float | None = None
    """Their standard deviation, or 1 where all are equal."""


@dataclass(frozen=True, slots=True)
class CategoryProfile:
    """One categorical column."""

    name: str
    categories: tuple[str, ...]
    counts: tuple[int, ...]
    """One per category, then *other*."""
    other: tuple[str, ...]
    """Rare categories that were seen; everything else is new."""
    missing: int
    input: str = ""
    """As of a numeric column."""
    index: int = -1


@dataclass(frozen=True, slots=True)
class FourierProfile:
    """The reference's random Fourier features; see `fourier` for what they are."""

    columns: tuple[str, ...]
    """The numeric columns that make a row."""
    seed: int
    distance: float
    """A typical distance of two reference rows, in standardised values."""
    rows: int
    sums: tuple[int, ...]
    """One for each frequency, over the reference's rows."""
    spread: tuple[float, float, float]
    """Traces of the first three powers of the features' covariance matrix: what the distance of a
    window's mean vector from the reference's is judged by."""
    scheme: int = 1
    """Which definition of the features this is; a reader leaves out what it does not know."""


@dataclass(frozen=True, slots=True)
class Profile:
    """The reference distribution of a version."""

    rows: int
    """Training rows behind the feature counts."""
    numeric: tuple[NumericProfile, ...]
    categories: tuple[CategoryProfile, ...]
    prediction: NumericProfile
    """Scores of held-out rows: probability of the last class (binary), of the winning class
    (multiclass), or the predicted value."""
    fourier: FourierProfile | None = None


def bin_of(edges: Sequence[float], value: float) -> int:
    """Return the bin that a number falls into.

    >>> [bin_of((0.0, 1.0), x) for x in (-1.0, 0.0, 0.5, 1.0, 2.0)]
    [0, 0, 1, 1, 2]
    """
    return bisect_left(edges, value)
