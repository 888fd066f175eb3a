"""Live counts of a serving process: cumulative, mergeable by addition, never reset by a reader.

A reader keeps the last snapshot of every boot and takes differences; a new boot starts at zero.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Counts:
    """How values fell into the bins of one profile column."""

    bins: tuple[int, ...]
    missing: int = 0
    new: int = 0
    """Categories that the reference never saw; always 0 for numbers."""
    out_of_range: int = 0
    """Numbers outside the reference's minimum and maximum; they are in a bin as well."""


@dataclass(frozen=True, slots=True)
class RoleSketch:
    """What one role saw since the process started."""

    rows: int
    requests: int
    features: Mapping[str, Counts]
    prediction: Counts


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


def add(left: Counts, right: Counts) -> Counts:
    """Return the sum of two counts over the same bins."""
    return Counts(
        bins=tuple(a + b for a, b in zip(left.bins, right.bins, strict=True)),
        missing=left.missing + right.missing,
        new=left.new + right.new,
        out_of_range=left.out_of_range + right.out_of_range,
    )


def subtract(later: Counts, earlier: Counts) -> Counts:
    """Return what was counted between two snapshots of one boot.

    Raises:
        ValueError: a count went down, so these are not snapshots of one boot.
    """
    bins = tuple(a - b for a, b in zip(later.bins, earlier.bins, strict=True))
    rest = (
        later.missing - earlier.missing,
        later.new - earlier.new,
        later.out_of_range - earlier.out_of_range,
    )
    if min(*bins, *rest) < 0:
        raise ValueError("a cumulative count went down")
    return Counts(bins, *rest)
