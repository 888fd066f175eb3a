"""Keeps rows apart for judging, the same rows in every retraining.

A row's side depends on its key and the seed alone.  A champion that was trained last week has
therefore never seen this week's holdout, and comparing the two on it is fair.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from modelyard_core.estimators import CLASSIFICATION
from modelyard_core.runs import RunRequest
from modelyard_training.columns import Flags
from modelyard_training.dataset import Dataset
from modelyard_training.failures import BadData

MIN_TRAINING_ROWS = 50
"""Fewer rows than this are refused."""
MIN_HOLDOUT_ROWS = 200
MIN_HOLDOUT_PER_CLASS = 20
"""A holdout below these judges nothing: the verdict is Inconclusive."""
SPAN = 16**12


@dataclass(frozen=True, slots=True)
class Halves:
    """Which rows are held out."""

    holdout: Flags
    duplicated: float
    """Share of the holdout whose features also occur in a training row."""

    @property
    def training(self) -> Flags:
        """Return which rows are trained on."""
        return ~self.holdout


def side(seed: int, key: bytes) -> float:
    """Return where a key lies in [0, 1); below the test fraction it is held out.

    >>> side(42, b"berlin") == side(42, b"berlin") != side(43, b"berlin")
    True
    """
    return int(hashlib.sha256(b"%d:%b" % (seed, key)).hexdigest()[:12], 16) / SPAN


def split_rows(request: RunRequest, dataset: Dataset) -> Halves:
    """Return which rows are held out.

    Raises:
        BadData: too few rows to train on, or a class that no training row has.
    """
    rows = row_bytes(dataset.frame[[feature.name for feature in request.features]])
    if dataset.moments is not None:
        holdout = newest(dataset.moments, request.split.test_fraction)
    else:
        keys = rows if dataset.keys is None else [str(key).encode() for key in dataset.keys]
        holdout = hashed(keys, request.split.seed, request.split.test_fraction)
    _check_training(request.task, dataset.target, ~holdout)
    return Halves(holdout, _duplicated(rows, holdout))


def hashed(keys: Iterable[bytes], seed: int, fraction: float) -> Flags:
    """Return the holdout of a Hash split."""
    return np.fromiter((side(seed, key) < fraction for key in keys), dtype=np.bool_)


def newest(moments: npt.NDArray[np.float64], fraction: float) -> Flags:
    """Return the holdout of a Time split: at most this share of the rows, the newest.

    Rows of one moment stay on one side.
    """
    ordered = np.sort(moments)
    border = ordered[int(np.ceil(len(ordered) * (1 - fraction))) - 1]
    return np.asarray(moments > border)


def is_too_small(task: str, truth: npt.NDArray[Any], classes: int) -> str | None:
    """Return why a holdout judges nothing, None when it does."""
    if len(truth) < MIN_HOLDOUT_ROWS:
        return f"the holdout has {len(truth)} rows; {MIN_HOLDOUT_ROWS} are needed to judge"
    if task != CLASSIFICATION:
        return None
    _, counts = np.unique(truth, return_counts=True)
    least = 0 if len(counts) < classes else int(counts.min())
    if least < MIN_HOLDOUT_PER_CLASS:
        return (
            f"the rarest class has {least} rows in the holdout; "
            f"{MIN_HOLDOUT_PER_CLASS} are needed to judge"
        )
    return None


def row_bytes(frame: pd.DataFrame) -> list[bytes]:
    """Return each row as bytes: its key when there is no key column."""
    parts: list[list[bytes]] = []
    for name in frame.columns:
        cells = frame[name].to_numpy()
        if cells.dtype == object:
            parts.append([str(cell).encode() for cell in cells])
        else:
            # -0.0 and every NaN have one form each
            plain = np.where(np.isnan(cells), np.float32(np.nan), cells + np.float32(0))
            parts.append([cell.tobytes() for cell in plain.astype("<f4")])
    return [b"\x1f".join(row) for row in zip(*parts, strict=True)]


def _check_training(task: str, target: npt.NDArray[Any], training: Flags) -> None:
    count = int(training.sum())
    if count < MIN_TRAINING_ROWS:
        raise BadData(
            "TooFewRows",
            f"{count} of {len(target)} rows are left to train on; {MIN_TRAINING_ROWS} are needed",
        )
    if task != CLASSIFICATION:
        return
    absent = set(target.tolist()) - set(target[training].tolist())
    if absent:
        raise BadData(
            "OneClassOnly" if len(set(target[training].tolist())) == 1 else "ClassMissing",
            f"{len(absent)} of the target's classes occur in held-out rows only; "
            "more rows of each class are needed",
        )


def _duplicated(rows: list[bytes], holdout: Flags) -> float:
    seen = {row for row, held in zip(rows, holdout, strict=True) if not held}
    held_out = [row for row, held in zip(rows, holdout, strict=True) if held]
    return sum(row in seen for row in held_out) / len(held_out) if held_out else 0.0
