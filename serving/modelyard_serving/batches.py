"""Requests that are read, run and answered together, in each of the two ways to do it.  Pure.

    Rows     few rows as JSON: Python's numbers, put below each other, written by one template
    Arrays   all else: an array for each input, from JSON of many numbers or from binary tensors

A batch holds the first of some requests that may share a run; the first one that may not, and what is
no request, ends it.  A batch of one request may hold whatever the model takes.
"""

import asyncio
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any, Protocol

import msgspec
import numpy as np

from modelyard_core.errors import ModelyardError
from modelyard_serving.codec import Array
from modelyard_serving.contract import Bound
from modelyard_serving.fast_model import FastModel
from modelyard_serving.heads import Head
from modelyard_serving.protocol import Answer


class Connection(Protocol):
    """Where a request came from."""

    transport: asyncio.Transport
    is_slow: bool
    """Whether this connection's bytes go to the slow way, in order, for now."""

    def hand_over(self, data: bytes) -> None:
        """Let the slow way answer a whole request, and all that come after it."""
        ...


Entry = tuple[Connection, bytes, int, Head, str | None, float]
"""A request that waits for the end of a turn: its connection, its bytes, where the body begins in
them, what the head says, the id that its copies have too, and when it came.  A bare tuple, since one
is made for every request."""


class Rows(msgspec.Struct, frozen=True, gc=False):
    """Small requests in JSON, of the usual form."""

    model: FastModel
    requests: Sequence[Any]
    ids: Sequence[str | None]
    counts: Sequence[int]
    """The rows of each."""
    names: Sequence[str]
    """The outputs that the run is to give: all of them."""

    @classmethod
    def read(cls, model: FastModel, waiting: Sequence[Entry]) -> "Rows | None":
        """Return the first requests that may share a run; None if there is none."""
        columns, read, pace = model.columns, model.read_small, model.pace
        if columns is None or read is None:
            return None
        # Where some may have to go to a thread, all of them together may take no longer than one.
        all_short = columns.small_rows <= pace.rows_in_time
        most = pace.rows_together if all_short else pace.rows_in_time
        requests = []
        rows = 0
        try:
            for connection, data, begin, head, _, _ in waiting:
                if not head.has_rows or connection.is_slow:
                    break
                request = read(data[begin:])
                rows += request.inputs[0].shape[0]
                if rows > most:
                    break
                requests.append(request)
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass  # the slow way finds the words for it
        counts = columns.rows_of_each(requests)
        if not counts:
            return None
        del requests[len(counts) :]
        return cls(model, requests, [each.id for each in requests], counts, model.names)

    def feeds(self) -> Mapping[str, Array] | None:
        """Return the rows of all, below each other; None where a number is too large."""
        assert self.model.columns is not None
        return self.model.columns.feeds(self.requests)

    def answers(self, arrays: Sequence[Array]) -> list[Answer] | None:
        """Return the answer of each; None where an output has no such form."""
        writer = self.model.writer
        if len(self.counts) == 1:
            body = writer.answer(self.ids[0], self.counts[0], arrays)
            return None if body is None else [Answer(body)]
        columns = writer.columns(sum(self.counts), arrays)
        if columns is None:
            return None
        return [Answer(body) for body in writer.answers(self.ids, self.counts, columns)]


class Arrays(msgspec.Struct, frozen=True, gc=False):
    """Requests of any form, bound to the model."""

    model: FastModel
    bounds: Sequence[Bound]
    ids: Sequence[str | None]
    counts: Sequence[int]
    """The rows of each."""
    names: Sequence[str]
    """The outputs that the run is to give: those that are asked for, and the score."""
    differ: bool
    """Whether they ask for different outputs, or in different forms."""

    @classmethod
    def read(cls, model: FastModel, waiting: Sequence[Entry]) -> "Arrays | None":
        """Return the first requests that may share a run, or the first one alone.

        One without rows is alone, since there are models that take no empty batch, and one with so
        many that it may have to go to a thread.
        """
        most, most_alone = model.pace.rows_together, model.pace.rows_in_time
        ids: list[str | None] = []
        bounds: list[Bound] = []
        rows = 0
        for connection, data, begin, head, _, _ in waiting:
            # One that is too many is read again, so the sizes of the others are a hint.
            enough = bounds and not 0 < bounds[-1].rows <= min(most_alone, most - rows)
            if enough or connection.is_slow:
                break
            try:
                request_id, bound = model.read(data[begin:], head.json_length)
            except ModelyardError:
                break
            rows += bound.rows
            if bounds and (rows > most or not 0 < bound.rows <= most_alone):
                break
            ids.append(request_id)
            bounds.append(bound)
        return cls._of(model, bounds, ids) if bounds else None

    @classmethod
    def _of(cls, model: FastModel, bounds: Sequence[Bound], ids: Sequence[str | None]) -> "Arrays":
        asked, score = bounds[0].outputs, model.inference.signature.score
        differ = any(bound.outputs != asked for bound in bounds[1:])
        names: Sequence[str] = model.names
        if not differ:
            wanted = [output.name for output in asked]
            names = wanted if score in wanted else [*wanted, score]
        return cls(model, bounds, ids, [bound.rows for bound in bounds], names, differ)

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
        answers = None
        if not self.differ:
            write = self.model.array_writer.answers
            answers = write(self.ids, self.counts, self.bounds[0].outputs, named)
        return answers or self._rendered(named)

    def _rendered(self, arrays: Mapping[str, Array]) -> list[Answer] | None:
        """Return the answer of each, whatever its outputs and their forms."""
        write = self.model.inference.write
        if len(self.bounds) == 1:
            return [write(self.ids[0], self.bounds[0].outputs, arrays)]
        rows = sum(self.counts)
        if any(len(array) != rows for array in arrays.values()):
            return None
        return [
            write(
                request_id,
                bound.outputs,
                {name: array[begin:end] for name, array in arrays.items()},
            )
            for request_id, bound, (begin, end) in zip(
                self.ids, self.bounds, pairwise(accumulate(self.counts, initial=0)), strict=True
            )
        ]


Batch = Rows | Arrays
"""Requests that share a run."""
