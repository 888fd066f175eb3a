"""From the arrays of many requests to columns: where in a model's inputs a profile's columns are.

Pure.  One request's arrays are tiny, and putting a thousand of them together costs more than
counting them: a single row gives its values one by one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import prod
from typing import Generic, TypeVar

import numpy as np

from modelyard_core.reference import CategoryProfile, NumericProfile, Profile
from modelyard_core.signature import Signature, Tensor
from modelyard_serving import codec
from modelyard_serving.codec import Array
from modelyard_serving.counting import Numeric, span
from modelyard_serving.errors import Unservable
from modelyard_serving.scores import MATRIX, scores_of

Feeds = Mapping[str, Array]
P = TypeVar("P", NumericProfile, CategoryProfile)

TEXT_BYTES = 64
"""Of a text, about."""


@dataclass(frozen=True, slots=True)
class Located(Generic[P]):
    """A profile's column and the place of its values."""

    profile: P
    tensor: Tensor
    index: int
    """In each row of the input."""

    @property
    def width(self) -> int:
        """Values of one row of the input."""
        return prod(self.tensor.shape[1:])


@dataclass(frozen=True, slots=True)
class Plan:
    """The columns of one profile in the inputs of one model."""

    numbers: tuple[Located[NumericProfile], ...]
    texts: tuple[Located[CategoryProfile], ...]
    score: Tensor

    @property
    def inputs(self) -> frozenset[str]:
        """The inputs that hold a column."""
        return frozenset(tensor.name for tensor in self._tensors)

    @property
    def row_bytes(self) -> int:
        """The size of a row of these inputs, about."""
        return sum(prod(t.shape[1:]) * _value_bytes(t.datatype) for t in self._tensors)

    @property
    def _tensors(self) -> frozenset[Tensor]:
        numbers = {each.tensor for each in self.numbers}
        return frozenset(numbers | {each.tensor for each in self.texts})


def plan(signature: Signature, profile: Profile) -> Plan:
    """Find the profile's columns.

    Raises:
        Unservable: a column is not in the model's inputs, or the score is no number of its outputs.
    """
    score = {tensor.name: tensor for tensor in signature.outputs}.get(signature.score)
    if score is None:
        raise Unservable(f"the signature's score {signature.score!r} is no output of the model")
    if score.datatype == "BYTES":
        raise Unservable(f"the signature's score {signature.score!r} is text")
    inputs = {tensor.name: tensor for tensor in signature.inputs}
    return Plan(
        numbers=tuple(_locate(each, inputs) for each in profile.numeric),
        texts=tuple(_locate(each, inputs) for each in profile.categories),
        score=score,
    )


def _locate(profile: P, inputs: Mapping[str, Tensor]) -> Located[P]:
    tensor = inputs.get(profile.input or profile.name)
    if tensor is None:
        raise Unservable(f"the profile's column {profile.name!r} is no input of the model")
    is_text = isinstance(profile, CategoryProfile)
    if (tensor.datatype == "BYTES") is not is_text:
        kind = "texts" if is_text else "numbers"
        raise Unservable(
            f"the profile's column {profile.name!r} has {kind}, the model's input "
            f"{tensor.name!r} is {tensor.datatype}"
        )
    index = profile.index if profile.input else 0
    sizes = tensor.shape[1:]
    rows_first = len(tensor.shape) > 0 and tensor.shape[0] < 0 and min(sizes, default=1) >= 0
    width = prod(sizes)
    if not rows_first or not 0 <= index < width or not (profile.input or width == 1):
        raise Unservable(
            f"the profile's column {profile.name!r} is no column of single values in the model's "
            f"input {tensor.name!r} of shape {list(tensor.shape)}"
        )
    return Located(profile, tensor, index)


def _value_bytes(datatype: str) -> int:
    dtype = codec.NUMPY_TYPES.get(datatype, np.dtype(np.float16))
    return TEXT_BYTES if dtype.kind == "O" else dtype.itemsize


class Gatherer:
    """Puts the rows of many requests together."""

    def __init__(self, columns: Plan, dtype: "np.dtype[np.floating]") -> None:
        """Take the type of the numbers that are wanted."""
        self._dtype = dtype
        self._texts = columns.texts
        self._count = len(columns.numbers)
        self._single: list[tuple[int, str]] = []
        matrices: dict[str, tuple[int, list[int], list[int]]] = {}
        for place, each in enumerate(columns.numbers):
            if each.width == 1:
                self._single.append((place, each.tensor.name))
                continue
            _, places, indices = matrices.setdefault(each.tensor.name, (each.width, [], []))
            places.append(place)
            indices.append(each.index)
        self._matrices = [
            (name, width, span(places), span(indices))
            for name, (width, places, indices) in matrices.items()
        ]

    def numbers(
        self, ones: Sequence[Feeds], others: Sequence[Feeds], scores: Sequence[Array], rows: int
    ) -> Numeric:
        """Return the numeric columns, and the scores below them: [columns + 1, rows].

        `ones` are feeds of a single row.  The scores are in an order of their own.
        """
        values: Numeric = np.empty((self._count + 1, rows), self._dtype)
        values[-1] = _scores(scores)
        for place, name in self._single:
            values[place, : len(ones)] = [feeds[name].item() for feeds in ones]
            if others:
                arrays = [feeds[name].reshape(-1) for feeds in others]
                np.concatenate(arrays, out=values[place, len(ones) :], casting="unsafe")
        for name, width, places, indices in self._matrices:
            tables = [feeds[name] for feeds in chain(ones, others)]
            if tables[0].ndim != MATRIX:
                tables = [table.reshape(-1, width) for table in tables]
            values[places] = np.concatenate(tables)[:, indices].T
        return values

    def texts(self, ones: Sequence[Feeds], others: Sequence[Feeds]) -> dict[str, list[str]]:
        """Return the values of each categorical column."""
        found: dict[str, list[str]] = {}
        for each in self._texts:
            name, width, index = each.tensor.name, each.width, each.index
            values = [feeds[name].item(index) for feeds in ones]
            for feeds in others:
                values += feeds[name].reshape(-1, width)[:, index].tolist()
            found[each.profile.name] = values
        return found


def _scores(arrays: Sequence[Array]) -> Numeric:
    """Return one score for each row of score outputs, in any order."""
    by_shape: dict[tuple[int, ...], list[Array]] = {}
    for array in arrays:
        by_shape.setdefault(array.shape[1:], []).append(array)
    return np.concatenate([scores_of(np.concatenate(group)) for group in by_shape.values()])
