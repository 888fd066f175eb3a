"""Requests of many connections that arrive together are read, run and answered together.

Nothing waits: what one turn of the event loop brings is answered at its end.  Requests share a run of
the model where its rows do not depend on each other; connections get their answers in order.  A
request that is invalid, or that would hold up the event loop, is handed to the slow way, which finds
the right words or the thread for it.

    data_received ──► add ──► [waiting] ──► flush ──┬─► one run for many ──► answers
                                                    ├─► one run for one  ──► answer
                                                    └─► hand_over        ──► ASGI
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import compress
from typing import NamedTuple

import numpy as np

from modelyard_core.errors import ModelyardError
from modelyard_core.roles import Role
from modelyard_serving import wire
from modelyard_serving.batches import Arrays, Batch, Connection, Entry, Rows
from modelyard_serving.clock import perf_counter
from modelyard_serving.codec import Array
from modelyard_serving.fast_model import FastModel
from modelyard_serving.metrics import Metrics
from modelyard_serving.protocol import Answer
from modelyard_serving.receipts import Receipts

MAX_WAITING = 1024
"""Requests that wait for the end of a turn; beyond it they wait in their connections."""
SEND_SECONDS = 0.001
"""How long an answer may wait for others: to wake a client costs more than to write to one awake."""
TURN_SECONDS = 0.005
"""After so long others get their turn, a health probe for example."""


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
        self._ready: list[_Ready] = []
        self._blocked: list[Callable[[], None]] = []

    def open(self, model: FastModel) -> None:
        """Answer with a proven model from now on."""
        self._model = model
        self.is_open = True

    def begin(self) -> None:
        """Begin a turn: what is put to `waiting` is answered, or handed over, at its end."""
        if not self.waiting:
            asyncio.get_running_loop().call_soon(self.flush)
        self.has_begun = True
        self.began = perf_counter()

    def add(self, entry: Entry) -> None:
        """Take a request."""
        if not self.has_begun:
            self.begin()
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
        now = perf_counter()
        end, send_by = now + TURN_SECONDS, now + SEND_SECONDS
        done, next_one = 0, 0
        try:
            while done < len(waiting) and (not done or now < end):
                next_one = done + 1
                next_one = done = self._answer_some(self._model, waiting, done, now)
                now = perf_counter()
                if now >= send_by:
                    self._send()
                    send_by = now + SEND_SECONDS
        finally:
            if next_one < len(waiting):
                asyncio.get_running_loop().call_soon(self.flush)
                self.waiting = waiting[next_one:] + self.waiting
            if self._blocked and not self.is_full:
                self._make_room_known()
            self._send()  # behind what others wait for: it counts, and may have a bug, too
            if done < next_one:  # a bug: one client pays for it, not all that came with it
                waiting[done][0].transport.abort()

    def _send(self) -> None:
        """Send the answers that are ready; what is counted of them nobody waits for."""
        ready, self._ready = self._ready, []
        for run in ready:
            for entry, packet in zip(run.group, run.packets, strict=True):
                transport = entry[0].transport
                if not transport.is_closing():  # writing to a client that has gone raises
                    transport.write(packet)
        assert self._model is not None
        end = perf_counter()
        for run in ready:
            roles = _roles(run.group)
            self._count(self._model, run, roles, (*run.times, end))
            _record(self._model, run, roles)

    def _make_room_known(self) -> None:
        blocked, self._blocked = self._blocked, []
        for go_on in blocked:
            asyncio.get_running_loop().call_soon(go_on)

    def _answer_some(
        self, model: FastModel, waiting: Sequence[Entry], begin: int, now: float
    ) -> int:
        """Answer one entry or several from a place on; return the place of the next."""
        most = model.pace.rows_together if self._together and model.joins else 1
        form = Rows if waiting[begin][3].has_rows else Arrays
        batch = form.read(model, waiting[begin : begin + max(most, 1)])
        group = waiting[begin : begin + len(batch.counts)] if batch else ()
        if batch and self._answer_together(model, group, batch, now):
            return begin + len(group)
        if form is Arrays and len(group) <= 1:  # was alone
            self._hand_over(waiting[begin])
            return begin + 1
        for entry in group or waiting[begin : begin + 1]:
            self._answer_alone(model, entry)
        return begin + max(len(group), 1)

    def _answer_alone(self, model: FastModel, entry: Entry) -> None:
        """Answer a request by a run of its own, or let the slow way do it."""
        now = perf_counter()
        batch = Arrays.read(model, [entry])
        if batch is None or not self._answer_together(model, [entry], batch, now):
            self._hand_over(entry)

    def _hand_over(self, entry: Entry) -> None:
        """Let the slow way answer a request, after what its connection is owed."""
        self._send()
        entry[0].hand_over(entry[1])

    def _answer_together(
        self, model: FastModel, group: Sequence[Entry], batch: Batch, read: float
    ) -> bool:
        """Answer requests by one run; return False, and nothing is done, if that cannot be.

        `read` is when their reading began.
        """
        counts = batch.counts
        rows = sum(counts)
        if len(counts) == 1 and rows > model.pace.rows_in_time and model.pace.is_slow(rows):
            return False
        feeds = batch.feeds()
        if feeds is None:
            return False
        names = batch.names
        begun = perf_counter()
        try:
            arrays = model.inference.model.run(feeds, names, rows)
            ran = perf_counter()
            answers = batch.answers(arrays)
        except ModelyardError:
            return False
        if answers is None:
            return False
        scores = arrays[names.index(model.inference.signature.score)]
        ids = [entry[4] or own_id for entry, own_id in zip(group, batch.ids, strict=True)]
        receipts = self._receipts(model, ids, counts, scores, answers)
        packets = _packets(group, answers, receipts)
        times = (read, begun, ran)
        self._ready.append(_Ready(group, packets, times, ids, counts, feeds, scores))
        return True

    def _receipts(
        self,
        model: FastModel,
        ids: Sequence[str | None],
        counts: Sequence[int],
        scores: Array,
        answers: Sequence[Answer],
    ) -> Iterable[bytes]:
        """Return a receipt for each answer, or nothing for each."""
        if not self._papers.enabled:
            return [b""] * len(answers)
        bodies = [answer.body for answer in answers]
        return self._papers.write_each(model.inference, ids, counts, scores, bodies)

    def _count(
        self, model: FastModel, run: "_Ready", roles: Sequence[Role], times: Sequence[float]
    ) -> None:
        """Count a run, whose `roles` are of `_roles`; `times` are those between its stages."""
        rows, end = sum(run.counts), times[-1]
        starts = [entry[-1] for entry in run.group]
        model.inference.statistics.answered_together(starts, rows, times)
        if len(roles) == 1:
            self._metrics.answered_together(roles[0], starts, end, rows)
            return
        for role, start, count in zip(roles, starts, run.counts, strict=True):
            self._metrics.answered_together(role, (start,), end, count)


class _Ready(NamedTuple):
    """A run whose answers can be sent."""

    group: Sequence[Entry]
    packets: Sequence[bytes]
    """The answer of each."""
    times: tuple[float, float, float]
    """When the reading began, when the run began, and when it had ended."""
    ids: Sequence[str | None]
    """What copies of each request have, too."""
    counts: Sequence[int]
    """The rows of each."""
    feeds: Mapping[str, Array]
    scores: Array


def _roles(group: Sequence[Entry]) -> list[Role]:
    """Return the role of each request, or just the one that all have."""
    first = group[0][3].role
    for _, _, _, head, _, _ in group:
        if head.role is not first:
            return [entry[3].role for entry in group]
    return [first]


def _packets(
    group: Sequence[Entry], answers: Sequence[Answer], receipts: Iterable[bytes]
) -> list[bytes]:
    """Return the bytes of each answer."""
    return [
        wire.answer(answer, entry[3].encoding, receipt)
        for entry, answer, receipt in zip(group, answers, receipts, strict=True)
    ]


def _record(model: FastModel, run: _Ready, roles: Sequence[Role]) -> None:
    """Let the recorder count a shared run, role by role; `roles` are of `_roles`."""
    record = model.inference.recorder.record_batch
    if len(roles) == 1:
        rows, requests = sum(run.counts), len(run.group)
        record(roles[0], rows, requests, run.feeds, run.scores, run.ids, run.counts)
        return
    for role in sorted(set(roles)):
        mine = [each is role for each in roles]
        their_rows = np.repeat(mine, run.counts)
        record(
            role,
            int(their_rows.sum()),
            sum(mine),
            {name: array[their_rows] for name, array in run.feeds.items()},
            run.scores[their_rows],
            list(compress(run.ids, mine)),
            list(compress(run.counts, mine)),
        )
