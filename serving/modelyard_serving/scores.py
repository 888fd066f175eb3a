"""From the model's score output to one number a row.  Pure."""

import math

import numpy as np
from numpy.typing import NDArray

from modelyard_core.answers import SCORES as SHOWN
from modelyard_serving.codec import Array

MATRIX = 2
"""Dimensions: rows and classes."""
BINARY_CLASSES = 2


def scores_of(array: Array) -> Array:
    """Return one score a row: the last class' probability, the winner's, or the value itself.

    A row without any score gets NaN, which counts as missing.
    """
    table = _table(array)
    if table.shape[1] == 0:
        return np.full(len(table), np.nan)
    if table.shape[1] <= BINARY_CLASSES:
        last: Array = table[:, -1]
        return last
    winners: Array = table.max(axis=1)
    return winners


def classes_of(array: Array) -> NDArray[np.int64] | None:
    """Return the place of each row's largest score; None where there are not three or more."""
    table = _table(array)
    return table.argmax(axis=1) if table.shape[1] > BINARY_CLASSES else None


def shown(array: Array) -> tuple[tuple[float | None, ...], tuple[int, ...] | None]:
    """Return scores and classes of the first rows as people and other programs get to see them.

    What is not finite is None, as JSON has no form for it.
    """
    return readable(array.reshape(1) if array.ndim == 0 else array[:SHOWN])


def readable(array: Array) -> tuple[tuple[float | None, ...], tuple[int, ...] | None]:
    """Return scores and classes of all rows in the form of `shown`."""
    classes = classes_of(array)
    values = map(float, scores_of(array).tolist())
    return (
        tuple([value if math.isfinite(value) else None for value in values]),
        None if classes is None else tuple(classes.tolist()),
    )


def _table(array: Array) -> Array:
    if array.ndim == MATRIX:
        return array
    if array.ndim < MATRIX:
        return array.reshape(-1, 1)
    return array.reshape(len(array), int(np.prod(array.shape[1:])))
