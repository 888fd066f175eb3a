"""Live counts of a serving process: cumulative, mergeable by addition, never reset by a reader.

A reader keeps the last snapshot of every boot and takes differences; a new boot starts at zero.

Everything is a whole number, the sums too: they are of standardised values, z = (x - mean) / scale
by the profile's numbers, clipped to ±`fourier.CLIP` and rounded to 1/`fourier.UNITS`.  So no order
of adding loses anything, a large mean does not eat a small deviation, and one wild value does not
eat all others.  mean(x) = mean + scale · Σz / (n · UNITS), n being what is in the bins.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar, cast

_Sums = TypeVar("_Sums", bound=tuple[int, ...])

SCHEMA = 2
"""What a writer of today fills in: 1 has the bins and their tails, 2 has the sums as well."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How values fell into the bins of one profile column."""

    bins: tuple[int, ...]
    missing: int = 0
    new: int = 0
    """Categories that the reference never saw; always 0 for numbers."""
    out_of_range: int = 0
    """Numbers outside the reference's minimum and maximum; they are in a bin as well."""
    sums: tuple[int, int] | None = None
    """Σ z · UNITS and Σ (z · UNITS)²; None where the profile has no mean, and for categories."""


@dataclass(frozen=True, slots=True)
class RoleSketch:
    """What one role saw since the process started."""

    rows: int
    requests: int
    features: Mapping[str, Counts]
    prediction: Counts
    fourier: tuple[int, ...] | None = None
    """Σ f over the rows, for each frequency; None where the profile has no Fourier features."""


@dataclass(frozen=True, slots=True)
class Sketch:
    """One process' counts at one instant."""

    boot: str
    """Drawn once when the process starts."""
    at: datetime
    model: str
    version: str
    digest: str
    """Of the bundle; decides which profile the bins belong to."""
    roles: Mapping[str, RoleSketch] = field(default_factory=dict)
    started: datetime | None = None
    """When the process began to count, by the same clock as `at`."""
    schema_version: int = 1
    """Higher ones only add fields: the bins are read alike from every sketch."""


def merge(left: RoleSketch, right: RoleSketch) -> RoleSketch:
    """Return what one process would have counted that saw the rows of both.

    Raises:
        ValueError: the two belong to different profiles.
    """
    if left.features.keys() != right.features.keys():
        raise ValueError("the sketches have different features")
    return RoleSketch(
        rows=left.rows + right.rows,
        requests=left.requests + right.requests,
        features={name: add(left.features[name], right.features[name]) for name in left.features},
        prediction=add(left.prediction, right.prediction),
        fourier=_add_sums(left.fourier, right.fourier),
    )


def add(left: Counts, right: Counts) -> Counts:
    """Return the sum of two counts over the same bins.

    Raises:
        ValueError: the bins are not the same.
    """
    return Counts(
        bins=tuple(a + b for a, b in zip(left.bins, right.bins, strict=True)),
        missing=left.missing + right.missing,
        new=left.new + right.new,
        out_of_range=left.out_of_range + right.out_of_range,
        sums=_add_sums(left.sums, right.sums),
    )


def _add_sums(left: _Sums | None, right: _Sums | None) -> _Sums | None:
    # What one of the two did not sum is not known for both.
    if left is None or right is None:
        return None
    return cast("_Sums", tuple(a + b for a, b in zip(left, right, strict=True)))
