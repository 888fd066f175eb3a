"""Requests that are read, run and answered together, in each of the two ways to do it.  Pure.

    Rows     few rows as JSON: Python's numbers, put below each other, written by one template
    Arrays   all else: an array for each input, from JSON of many numbers or from binary tensors

A batch holds the first of some requests that may share a run; the first one that may not, and what is
no request, ends it.  A batch of one request may hold whatever the model takes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, Protocol

import msgspec
import numpy as np

from modelyard_core.errors import ModelyardError
from modelyard_serving.codec import Array
from modelyard_serving.contract import Bound
from modelyard_serving.fast_model import FastModel
from modelyard_serving.heads import Head
from modelyard_serving.protocol import Answer, RequestedOutput

Request = tuple[Head, bytes]
"""What the head says, and the body."""


class Batch(Protocol):
    """Requests that share a run."""

    @property
    def ids(self) -> Sequence[str | None]:
        """The id of each."""

    @property
    def counts(self) -> Sequence[int]:
        """The rows of each."""

    @property
    def names(self) -> Sequence[str]:
        """The outputs that the run is to give; the score is one of them."""

    def feeds(self) -> Mapping[str, Array] | None:
        """Return the rows of all, below each other; None if one holds what none may."""

    def answers(self, arrays: Sequence[Array]) -> Sequence[Answer] | None:
        """Return the answer of each, of the outputs `names`; None if one cannot be written.

        Raises:
            InvalidRequest: the same.
        """


@dataclass(frozen=True, slots=True)
class Rows:
    """Small requests in JSON, of the usual form."""

    model: FastModel
    requests: Sequence[Any]
    counts: Sequence[int]

    @classmethod
    def read(cls, model: FastModel, waiting: Iterable[Request], most: int) -> "Rows | None":
        """Return the first requests of at most so many rows; None if there is none."""
        columns, read = model.columns, model.read_small
        if columns is None or read is None:
            return None
        requests = []
        rows = 0
        try:
            for head, body in waiting:
                if not head.is_small or head.json_length is not None:
                    break
                request = read(body)
                rows += request.inputs[0].shape[0]
                if rows > most:
                    break
                requests.append(request)
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass  # the slow way finds the words for it
        counts = columns.rows_of_each(requests)
        return cls(model, requests[: len(counts)], counts) if counts else None

    @property
    def ids(self) -> list[str | None]:
        """The id of each."""
        return [request.id for request in self.requests]

    @property
    def names(self) -> Sequence[str]:
        """All outputs."""
        return self.model.names

    def feeds(self) -> Mapping[str, Array] | None:
        """Return the rows of all, below each other; None where a number is too large."""
        assert self.model.columns is not None
        return self.model.columns.feeds(self.requests)

    def answers(self, arrays: Sequence[Array]) -> list[Answer] | None:
        """Return the answer of each; None where an output has no such form."""
        writer = self.model.writer
        columns = writer.columns(sum(self.counts), arrays)
        if columns is None:
            return None
        return list(map(Answer, writer.answers(self.ids, self.counts, columns)))


@dataclass(frozen=True, slots=True)
class Arrays:
    """Requests of any form, bound to the model."""

    model: FastModel
    ids: Sequence[str | None]
    bounds: Sequence[Bound]
    _differ: bool
    """Whether they ask for different outputs, or in different forms."""

    @classmethod
    def read(cls, model: FastModel, waiting: Iterable[Request], most: int) -> "Arrays | None":
        """Return the first requests, of at most so many rows if they are several.

        One without rows is alone: there are models that take no empty batch.
        """
        ids: list[str | None] = []
        bounds: list[Bound] = []
        rows = 0
        for head, body in waiting:
            # One that is too many is read again, so the sizes of the others are a hint.
            if bounds and (rows + bounds[-1].rows > most or not bounds[-1].rows):
                break
            try:
                request_id, bound = model.read(body, head.json_length)
            except ModelyardError:
                break
            rows += bound.rows
            if bounds and (rows > most or not bound.rows):
                break
            ids.append(request_id)
            bounds.append(bound)
        differ = any(bound.outputs != bounds[0].outputs for bound in bounds[1:])
        return cls(model, ids, bounds, differ) if bounds else None

    @property
    def names(self) -> Sequence[str]:
        """The outputs that are asked for, and the score."""
        return self.model.names if self._differ else _names(self.model, self.bounds[0].outputs)

    @property
    def counts(self) -> list[int]:
        """The rows of each."""
        return [bound.rows for bound in self.bounds]

    def feeds(self) -> Mapping[str, Array]:
        """Return the rows of all, below each other."""
        if len(self.bounds) == 1:
            return self.bounds[0].feeds
        return {
            name: np.concatenate([bound.feeds[name] for bound in self.bounds])
            for name in self.bounds[0].feeds
        }

    def answers(self, arrays: Sequence[Array]) -> list[Answer] | None:
        """Return the answer of each.

        Raises:
            InvalidRequest: an output cannot be written in the form that was asked for.
        """
        named = dict(zip(self.names, arrays, strict=True))
        counts, asked = self.counts, self.bounds[0].outputs
        answers = None
        if not self._differ:
            answers = self.model.array_writer.answers(self.ids, counts, asked, named)
        return answers or self._rendered(named, counts)

    def _rendered(self, arrays: Mapping[str, Array], counts: Sequence[int]) -> list[Answer] | None:
        """Return the answer of each, whatever its outputs and their forms."""
        write = self.model.inference.write
        if len(self.bounds) == 1:
            return [write(self.ids[0], self.bounds[0].outputs, arrays)]
        rows = sum(counts)
        if any(len(array) != rows for array in arrays.values()):
            return None
        return [
            write(
                request_id,
                bound.outputs,
                {name: array[begin:end] for name, array in arrays.items()},
            )
            for request_id, bound, (begin, end) in zip(
                self.ids, self.bounds, pairwise(accumulate(counts, initial=0)), strict=True
            )
        ]


def _names(model: FastModel, asked: Sequence[RequestedOutput]) -> Sequence[str]:
    """Return outputs that are asked for, and the score."""
    names = [output.name for output in asked]
    score = model.inference.signature.score
    return names if score in names else [*names, score]
