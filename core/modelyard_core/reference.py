"""The reference distribution of a model: fixed bins and how the training rows fell into them.

Numeric bins are right-closed: value x is in bin i when edges[i-1] < x <= edges[i]; there are
len(edges) + 1 bins, the first and last unbounded.  NaN is missing.  Categorical cells are the
listed categories, then *other*: what the reference saw too rarely for a cell of its own.  A value
that the reference never saw is *new* and counted apart, as are missing values and, for numbers,
values outside the reference's minimum and maximum (those fall into their bin as well).
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


def bin_of(edges: Sequence[float], value: float) -> int:
    """Return the bin that a number falls into.

    >>> [bin_of((0.0, 1.0), x) for x in (-1.0, 0.0, 0.5, 1.0, 2.0)]
    [0, 0, 1, 1, 2]
    """
    return bisect_left(edges, value)
