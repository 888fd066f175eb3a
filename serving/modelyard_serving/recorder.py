"""Live counts over the profile's bins, for each role: what drift is measured from.

A request costs one list append; the counting is done for many rows at once, as soon as there are
enough, and a piece in several steps, so that it never holds up the event loop for long.  It keeps
pace with what comes: rows that wait for long have left the processor's caches.  A reader first counts
what waits, so its answer is exact at that instant.  Everything here runs on the event loop's thread;
nothing is ever reset, so any number of readers may come and miss.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import accumulate
from typing import Protocol

import msgspec

from modelyard_core.answers import Answers
from modelyard_core.reference import NumericProfile, Profile
from modelyard_core.roles import Role
from modelyard_core.signature import Signature
from modelyard_core.sketch import SCHEMA, RoleSketch, Sketch
from modelyard_serving import answers, clock, gathering
from modelyard_serving.codec import Array
from modelyard_serving.counting import Categories, Name, Numbers, Ruler
from modelyard_serving.identity import Identity

FOLD_AFTER_SECONDS = 0.25
"""How long rows that are no whole piece may wait for others."""
TURN_SECONDS = 0.002
"""After so long others get their turn, though several pieces wait."""
PIECE_VALUES = 1 << 16
"""Values that are counted at once, half as many where they make features, too: some tenths of a
millisecond.  That makes no more and no fewer rows than these:"""
FEWEST_ROWS = 64
MOST_ROWS = 512
RUN_ROWS = 8
"""To put the arrays of runs together takes as long for each as to count about so many rows."""
MAX_WAITING_BYTES = 32 << 20
"""What may wait, about; beyond it counting does not wait for its turn."""
REQUEST_BYTES = 512
"""Of a waiting request, beside its values."""


class Scheduler(Protocol):
    """Runs a callable on the event loop's thread, later."""

    def __call__(self, seconds: float, callback: Callable[[], None], /) -> object: ...


class _Waiting(msgspec.Struct, frozen=True, gc=False):
    """Requests of one role that ran together and are not counted yet."""

    role: Role
    rows: int
    requests: int
    feeds: Mapping[str, Array]
    scores: Array
    ids: Sequence[str | None] = ()
    rows_of_each: Sequence[int] = ()
    """Rows of each request that has a place in `ids`; empty where each has one."""

    @property
    def weight(self) -> int:
        """Rows, and what it costs beside them, in rows: the run, and each request's id."""
        return self.rows + self.requests + RUN_ROWS

    def split(self, rows: int) -> "tuple[_Waiting, _Waiting]":
        """Return so many rows, with all that is counted once a request, and the rest."""
        first = {name: array[:rows] for name, array in self.feeds.items()}
        rest = {name: array[rows:] for name, array in self.feeds.items()}
        head = _Waiting(self.role, rows, self.requests, first, self.scores[:rows])
        return head, _Waiting(self.role, self.rows - rows, 0, rest, self.scores[rows:])


class _RoleCounts:
    """What one role has seen."""

    def __init__(self, ruler: Ruler, columns: gathering.Plan) -> None:
        self._gatherer = gathering.Gatherer(columns, ruler.dtype)
        self.rows = 0
        self.requests = 0
        self._numbers = Numbers(ruler)
        self._categories = {each.profile.name: Categories(each.profile) for each in columns.texts}

    def add(self, taken: Sequence[_Waiting]) -> Iterator[None]:
        """Count requests, in steps; until the last of them is done there is no sketch."""
        rows = sum(entry.rows for entry in taken)
        ones = [entry.feeds for entry in taken if entry.rows == 1]
        others = [entry.feeds for entry in taken if entry.rows != 1]
        self.rows += rows
        self.requests += sum(entry.requests for entry in taken)
        scores = [entry.scores for entry in taken]
        for name, texts in self._gatherer.texts(ones, others).items():
            self._categories[name].add(texts)
        values = self._gatherer.numbers(ones, others, scores, rows)
        yield
        self._numbers.add_bins(values)
        yield
        self._numbers.add_sums(values)

    def sketch(self) -> RoleSketch:
        """Return what was counted."""
        numbers = self._numbers.counts()
        prediction = numbers.pop(None)
        features = {name: counts for name, counts in numbers.items() if name is not None}
        features |= {name: column.counts() for name, column in self._categories.items()}
        return RoleSketch(self.rows, self.requests, features, prediction, self._numbers.fourier())


class Recorder:
    """Counts of one served bundle since the process started."""

    def __init__(
        self,
        identity: Identity,
        signature: Signature,
        profile: Profile,
        later: Scheduler,
        answers_per_second: int = answers.PER_SECOND,
    ) -> None:
        columns = gathering.plan(signature, profile)
        self._identity = identity
        self._columns = columns
        self._later = later
        self._ring = answers.Ring(identity, answers_per_second)
        self._roles: dict[Role, _RoleCounts] = {}
        self._waiting: deque[_Waiting] = deque()
        self._waiting_rows = 0
        """With what runs and requests cost beside their rows."""
        self._piece: Iterator[None] | None = None
        """The steps that are left of a piece that is being counted."""
        self._has_timer = False
        self._has_turn = False
        numbers: dict[Name, tuple[NumericProfile, str]] = {
            each.profile.name: (each.profile, each.tensor.datatype) for each in columns.numbers
        }
        numbers[None] = (profile.prediction, columns.score.datatype)
        self._ruler = Ruler(numbers, profile.fourier)
        self._left_out = {tensor.name for tensor in signature.inputs} - columns.inputs
        width = len(numbers) * (1 if self._ruler.features is None else 2)
        rows = PIECE_VALUES // width // FEWEST_ROWS * FEWEST_ROWS
        self._piece_rows = min(MOST_ROWS, max(FEWEST_ROWS, rows))
        most = MAX_WAITING_BYTES // (columns.row_bytes + REQUEST_BYTES)
        self._most_rows = max(self._piece_rows, most)

    def record(
        self,
        role: Role,
        rows: int,
        feeds: Mapping[str, Array],
        scores: Array,
        sample_id: str | None = None,
    ) -> None:
        """Remember one answered request; counted within a fraction of a second.

        `scores` is the model's score output as it is; `sample_id` is what all copies of a request
        have in common.
        """
        ids = () if sample_id is None else (sample_id,)
        self._remember(_Waiting(role, rows, 1, feeds, scores, ids, (rows,)))

    def record_batch(  # noqa: PLR0913, PLR0917 - two columns of a table, in the order of record
        self,
        role: Role,
        rows: int,
        requests: int,
        feeds: Mapping[str, Array],
        scores: Array,
        sample_ids: Sequence[str | None] = (),
        rows_of_each: Sequence[int] = (),
    ) -> None:
        """Remember requests of one role that ran together.

        `sample_ids` is empty, or has a place for each request, in the order of the rows;
        `rows_of_each` goes with it unless each request has one row.
        """
        self._remember(_Waiting(role, rows, requests, feeds, scores, sample_ids, rows_of_each))

    def _remember(self, entry: _Waiting) -> None:
        if self._left_out:  # what is not counted is not kept either: an image, say
            used = {name: entry.feeds[name] for name in self._columns.inputs}
            entry = msgspec.structs.replace(entry, feeds=used)
        self._set_timer()
        self._waiting.append(entry)
        self._waiting_rows += entry.weight
        if self._waiting_rows >= self._piece_rows and not self._has_turn:
            self._ask_for_turn()
        while self._waiting_rows > self._most_rows:
            self._count(clock.now())

    def _ask_for_turn(self) -> None:
        self._has_turn = True
        self._later(0, self._count_pieces)  # as soon as the answer is on its way

    def _count_pieces(self) -> None:
        """Do one step of a whole piece; where several wait, count them for as long as a turn may take."""
        now, end = clock.now(), clock.perf_counter() + TURN_SECONDS
        try:
            while self._waiting_rows >= 2 * self._piece_rows:
                self._count(now)
                if clock.perf_counter() > end:
                    return
            if self._piece is None and self._waiting_rows >= self._piece_rows:
                self._piece = self._steps(now)
            self._step()
        finally:  # whatever breaks: nobody else asks, as long as there seems to be a turn
            self._has_turn = False
            if self._piece is not None or self._waiting_rows >= self._piece_rows:
                self._ask_for_turn()

    def _step(self) -> None:
        """Do the next step of the piece that is being counted, if there is one."""
        if self._piece is not None and next(self._piece, self) is self:
            self._piece = None

    def _count_rest(self) -> None:
        """Count what waits, though it is no whole piece."""
        self._has_timer = False
        self._finish()
        if self._waiting:
            self._count(clock.now())
        if self._waiting:
            self._set_timer()

    def _set_timer(self) -> None:
        """See to it that what waits is counted, however little it stays."""
        if not self._has_timer:
            self._has_timer = True
            self._later(FOLD_AFTER_SECONDS, self._count_rest)

    def _finish(self) -> None:
        """Do what is left of a piece."""
        while self._piece is not None:
            self._step()

    def _count(self, now: datetime) -> None:
        """Count a piece, after the one that was begun."""
        self._finish()
        self._piece = self._steps(now)
        self._finish()

    def _count_all(self, now: datetime) -> None:
        self._finish()
        while self._waiting:
            self._count(now)

    def _steps(self, now: datetime) -> Iterator[None]:
        """Count a piece, in steps of which none takes long."""
        self._ring.begin(now)
        taken = self._take()
        yield
        roles = {entry.role for entry in taken}
        for role in roles:
            if role not in self._roles:
                self._roles[role] = _RoleCounts(self._ruler, self._columns)
            mine = taken if len(roles) == 1 else [each for each in taken if each.role is role]
            yield from self._roles[role].add(mine)

    def _take(self) -> list[_Waiting]:
        """Take what is counted at once; requests with more rows are split."""
        taken, room = [], self._piece_rows
        while self._waiting and room > 0:
            entry = self._waiting.popleft()
            if entry.ids:
                self._sample(entry)
            self._waiting_rows -= entry.weight
            if entry.rows > room:
                entry, rest = entry.split(room)
                self._waiting.appendleft(rest)
                self._waiting_rows += rest.weight
            taken.append(entry)
            room -= entry.weight
        return taken

    def _sample(self, entry: _Waiting) -> None:
        """Keep the answers that their ids choose: few, so the others must cost little."""
        kept = self._ring.chosen(entry.ids)
        if not kept:
            return
        begin = list(accumulate(entry.rows_of_each or (1,) * len(entry.ids), initial=0))
        for at in kept:
            scores = entry.scores[begin[at] : begin[at + 1]]
            self._ring.add(entry.ids[at] or "", entry.role, scores)

    def snapshot(self, at: datetime) -> Sketch:
        """Return the counts of everything recorded before this call."""
        self._count_all(at)
        roles = {role.value: counts.sketch() for role, counts in sorted(self._roles.items())}
        who = self._identity
        return Sketch(who.boot, at, who.model, who.version, who.digest, roles, who.started, SCHEMA)

    def answers(self, at: datetime, cursor: str, limit: int) -> Answers:
        """Return kept answers that came after the cursor, those recorded just now included.

        Raises:
            InvalidRequest: no cursor that this process gives.
        """
        self._count_all(at)
        return self._ring.page(cursor, limit)
