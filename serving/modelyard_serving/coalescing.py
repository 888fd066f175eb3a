"""Requests of many connections that arrive together are read, run and answered together.

Nothing waits: what one turn of the event loop brings is answered at its end.  Requests of a few rows
share a run of the model where its rows do not depend on each other; others run alone, in their turn,
so that each connection gets its answers in order.  A request that is invalid, or that would hold up
the event loop, is handed to the slow way, which finds the right words or the thread for it.

    data_received ──► add ──► [waiting] ──► flush ──┬─► one run for many ──► answers
                                                    ├─► one run for one  ──► answer
                                                    └─► hand_over        ──► ASGI
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import compress, repeat
from typing import Any, Protocol

import msgspec
import numpy as np

from modelyard_core.errors import ModelyardError
from modelyard_core.roles import Role
from modelyard_serving import wire
from modelyard_serving.clock import perf_counter
from modelyard_serving.codec import Array
from modelyard_serving.fast_model import FastModel
from modelyard_serving.heads import Head
from modelyard_serving.inference import Computed
from modelyard_serving.metrics import Metrics
from modelyard_serving.protocol import Answer
from modelyard_serving.receipts import Receipts

MAX_ROWS = 256
"""Rows of a shared run."""
MAX_WAITING = 1024
"""Requests that wait for the end of a turn; beyond it they wait in their connections."""
TURN_SECONDS = 0.005
"""After so long others get their turn, a health probe for example."""


class Connection(Protocol):
    """Where a request came from."""

    transport: asyncio.Transport
    is_slow: bool
    """Whether this connection's bytes go to the slow way, in order, for now."""

    def hand_over(self, data: bytes) -> None:
        """Let the slow way answer a whole request, and all that come after it."""
        ...


Entry = tuple[Connection, bytes, int, Head, str | None, float]
"""A request that waits for the end of this turn: its connection, its bytes, where the body begins in
them, what the head says, the id that its copies have too, and when it came.  A bare tuple, since one
is made for every request."""


class Coalescer:
    """The requests of one process that wait for the end of this turn."""

    def __init__(self, metrics: Metrics, papers: Receipts, *, together: bool) -> None:
        self._metrics = metrics
        self._papers = papers
        self._together = together
        self._model: FastModel | None = None
        self.is_open = False
        """Whether there is a model that answers."""
        self.waiting: list[Entry] = []
        """Requests that wait for the end of this turn."""
        self.has_begun = False
        """Whether this turn has brought a request: the end of the turn answers all that wait."""
        self.began = 0.0
        """When that was: the others were here then, too, or they would not come in this turn."""
        self._blocked: list[Callable[[], None]] = []

    def open(self, model: FastModel) -> None:
        """Answer with a proven model from now on."""
        self._model = model
        self.is_open = True

    def add(self, entry: Entry) -> None:
        """Take a request; it is answered, or handed over, at the end of this turn."""
        if not self.waiting:
            asyncio.get_running_loop().call_soon(self.flush)
        if not self.has_begun:
            self.has_begun = True
            self.began = perf_counter()
        self.waiting.append(entry)

    @property
    def is_full(self) -> bool:
        """Whether so many wait that connections should not be read from."""
        return len(self.waiting) >= MAX_WAITING

    def wait_for_room(self, go_on: Callable[[], None]) -> None:
        """Call back, once, when there is room again; there is something to answer until then."""
        self._blocked.append(go_on)

    def settle(self, connection: Connection) -> None:
        """Answer at once what waits of a connection, and whatever came before it."""
        while any(entry[0] is connection for entry in self.waiting):
            self.flush()

    def flush(self) -> None:
        """Answer what waits, for as long as one turn may take."""
        waiting, self.waiting = self.waiting, []
        self.has_begun = False
        if not waiting:
            return
        assert self._model is not None
        end = perf_counter() + TURN_SECONDS
        done, next_one = 0, 0
        try:
            while done < len(waiting) and (not done or perf_counter() < end):
                next_one = done + 1
                next_one = done = self._answer_some(self._model, waiting, done)
        finally:
            if done < next_one:  # a bug: one client pays for it, not all that came with it
                waiting[done][0].transport.abort()
            if next_one < len(waiting):
                asyncio.get_running_loop().call_soon(self.flush)
                self.waiting = waiting[next_one:] + self.waiting
            if self._blocked and not self.is_full:
                self._make_room_known()

    def _make_room_known(self) -> None:
        blocked, self._blocked = self._blocked, []
        for go_on in blocked:
            asyncio.get_running_loop().call_soon(go_on)

    def _answer_some(self, model: FastModel, waiting: Sequence[Entry], begin: int) -> int:
        """Answer one entry or several from a place on; return the place of the next."""
        if not waiting[begin][3].is_small:
            self._answer_alone(model, waiting[begin])
            return begin + 1
        most = _rows_in_time(model)
        entries = most if self._together and model.joins else min(most, 1)
        candidates = waiting[begin : begin + entries]
        requests, counts = _read_small(model, candidates, most)
        if not counts:
            self._answer_alone(model, waiting[begin])
            return begin + 1
        group = candidates[: len(counts)]
        if not self._answer_together(model, group, requests, counts):
            for entry in group:
                self._answer_alone(model, entry)
        return begin + len(group)

    def _answer_together(
        self,
        model: FastModel,
        group: Sequence[Entry],
        requests: Sequence[Any],
        counts: Sequence[int],
    ) -> bool:
        """Answer requests by one run; return False, and nothing is done, if that cannot be.

        `counts` are the rows of each.
        """
        assert model.columns is not None
        rows = sum(counts)
        times = [perf_counter()]
        feeds = model.columns.feeds(requests)
        if feeds is None:
            return False
        times.append(perf_counter())
        try:
            arrays = model.run(feeds, rows)
        except ModelyardError:
            return False
        times.append(perf_counter())
        columns = model.writer.columns(rows, arrays)
        if columns is None:
            return False
        own_ids = [request.id for request in requests]
        ids = [entry[4] or own_id for entry, own_id in zip(group, own_ids, strict=True)]
        scores = arrays[model.score]
        bodies = model.writer.answers(own_ids, counts, columns)
        _write(group, bodies, self._receipts(model, ids, counts, scores, bodies))
        times.append(perf_counter())
        roles = _roles(group)
        self._count(model, group, roles, counts, times)
        _record(model, roles, ids, counts, feeds, scores)
        return True

    def _receipts(
        self,
        model: FastModel,
        ids: Sequence[str | None],
        counts: Sequence[int],
        scores: Array,
        bodies: Sequence[bytes],
    ) -> Iterable[bytes]:
        """Return a receipt for each answer, or nothing for each."""
        if not self._papers.enabled:
            return repeat(b"")
        return self._papers.write_each(model.inference, ids, counts, scores, bodies)

    def _count(
        self,
        model: FastModel,
        group: Sequence[Entry],
        roles: Sequence[Role],
        counts: Sequence[int],
        times: Sequence[float],
    ) -> None:
        """Count a run, whose `roles` are of `_roles`.

        `counts` are the rows of each request, `times` those between the stages.
        """
        rows, end = sum(counts), times[-1]
        starts = [entry[-1] for entry in group]
        model.inference.statistics.answered_together(starts, rows, times)
        if len(roles) == 1:
            self._metrics.answered_together(roles[0], starts, end, rows)
            return
        for role, start, count in zip(roles, starts, counts, strict=True):
            self._metrics.answered_together(role, (start,), end, count)

    def _answer_alone(self, model: FastModel, entry: Entry) -> None:
        connection, data, _, head, sample_id, _ = entry
        done = None if connection.is_slow else _run_alone(model, entry)
        if done is None:
            connection.hand_over(data)
            return
        computed, answer, times = done
        known_as = sample_id or computed.request_id
        if not connection.transport.is_closing():
            receipt = b""
            if self._papers.enabled:
                receipt = self._papers.write(
                    model.inference, known_as, computed.scores, answer.body
                ).encode()
            connection.transport.write(wire.answer(answer, head.encoding, receipt))
        times.append(perf_counter())
        self._count(model, (entry,), (head.role,), (computed.rows,), times)
        model.inference.recorder.record(
            head.role, computed.rows, computed.feeds, computed.scores, known_as
        )


def _rows_in_time(model: FastModel) -> int:
    """Return how many rows a shared run may have without holding up the event loop; maybe none."""
    rows = MAX_ROWS
    while rows and model.is_slow_for(rows):
        rows //= 2
    return rows


def _read_small(
    model: FastModel, waiting: Sequence[Entry], most: int
) -> tuple[list[Any], list[int]]:
    """Return the first requests that may share a run of at most so many rows, and the rows of each.

    The first one that may not, and what is no request, ends them.
    """
    columns, read = model.columns, model.read_small
    if columns is None or read is None:
        return [], []
    requests = []
    rows = 0
    try:
        for connection, data, begin, head, _, _ in waiting:
            if not head.is_small or connection.is_slow:
                break
            request = read(data[begin:])
            rows += request.inputs[0].shape[0]
            if rows > most:
                break
            requests.append(request)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass  # the slow way finds the words for it
    counts = columns.rows_of_each(requests)
    return requests[: len(counts)], counts


def _roles(group: Sequence[Entry]) -> list[Role]:
    """Return the role of each request, or just the one that all have."""
    first = group[0][3].role
    for _, _, _, head, _, _ in group:
        if head.role is not first:
            return [entry[3].role for entry in group]
    return [first]


def _run_alone(model: FastModel, entry: Entry) -> tuple[Computed, Answer, list[float]] | None:
    """Return the result, the answer and the times; None for what the slow way must answer."""
    times = [perf_counter()]
    inference = model.inference
    _, data, begin, head, _, _ = entry
    try:
        request_id, bound = model.read(data[begin:], head.json_length)
        if model.is_slow_for(bound.rows):
            return None
        times.append(perf_counter())
        computed = inference.run_bound(request_id, bound)
        times.append(perf_counter())
        return computed, inference.write(computed), times
    except ModelyardError:
        return None


def _write(group: Sequence[Entry], bodies: Sequence[bytes], receipts: Iterable[bytes]) -> None:
    """Send the answers of a shared run."""
    for (connection, _, _, head, _, _), body, receipt in zip(group, bodies, receipts, strict=False):
        transport = connection.transport
        if not transport.is_closing():  # writing to a client that has gone raises
            transport.write(wire.json(body, head.encoding, receipt))


def _record(
    model: FastModel,
    roles: Sequence[Role],
    ids: Sequence[str | None],
    counts: Sequence[int],
    feeds: Mapping[str, Array],
    scores: Array,
) -> None:
    """Let the recorder count a shared run, role by role; `roles` are of `_roles`."""
    record = model.inference.recorder.record_batch
    if len(roles) == 1:
        record(roles[0], len(scores), len(ids), feeds, scores, ids, counts)
        return
    for role in sorted(set(roles)):
        mine = [each is role for each in roles]
        rows = np.repeat(mine, counts)
        their_feeds = {name: array[rows] for name, array in feeds.items()}
        record(
            role,
            int(rows.sum()),
            sum(mine),
            their_feeds,
            scores[rows],
            list(compress(ids, mine)),
            list(compress(counts, mine)),
        )
