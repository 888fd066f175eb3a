"""The latest answers that were kept for comparison: a ring with a cursor.

Filled when the recorder counts, so not on a request's way; on the event loop's thread only.
"""

import re
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import islice

from modelyard_core import answers
from modelyard_core.answers import Answered, Answers
from modelyard_core.roles import Role
from modelyard_serving.codec import Array
from modelyard_serving.errors import InvalidRequest
from modelyard_serving.identity import Identity
from modelyard_serving.scores import shown

KEPT = 4096
"""Answers that are remembered."""
PER_SECOND = 100
"""Answers that are kept in a second, about: so few that they cost next to nothing."""
PAGE = 1000
"""Answers of one page at most."""
HIGHEST_LEVEL = 33
"""Keeps nothing at all."""
MOST_DIGITS = 18
"""Of a number that anybody means."""
CURSOR = re.compile(r"([0-9A-Za-z-]{1,64})\.([0-9]{1,18})")


class Ring:
    """A bounded number of answers, numbered from 0 since the process started."""

    def __init__(self, who: Identity, per_second: int = PER_SECOND, kept: int = KEPT) -> None:
        """Keep about so many answers a second, none if that is 0."""
        self._who = who
        self._per_second = per_second
        self._answers: deque[Answered] = deque(maxlen=kept)
        self._count = 0
        self._level = 0 if per_second else HIGHEST_LEVEL
        self._now = who.started
        self._this_second = 0

    def begin(self, now: datetime) -> None:
        """Say what time it is; keep more again, one level for each second without a hurry."""
        seconds = int(now.timestamp()) - int(self._now.timestamp())
        self._now = now
        if seconds == 0 or not self._per_second:
            return
        if self._this_second * 2 < self._per_second:
            self._level = max(0, self._level - max(0, seconds))
        self._this_second = 0

    def chosen(self, ids: Sequence[str | None]) -> list[int]:
        """Return the places of the requests that are to be kept now."""
        return answers.chosen(ids, self._level)

    def add(self, request_id: str, role: Role, scores: Array) -> None:
        """Keep one request's answer; `scores` is the model's score output for its rows."""
        self._answers.append(_answered(request_id, role, self._now, scores))
        self._count += 1
        self._this_second += 1
        if self._this_second >= self._per_second:
            self._level = min(HIGHEST_LEVEL, self._level + 1)
            self._this_second //= 2  # as many as the new level would have kept

    def page(self, cursor: str, limit: int) -> Answers:
        """Return the answers after a cursor; an empty one, and one of another boot, is the start.

        Raises:
            InvalidRequest: no cursor that this process gives.
        """
        begin = self._place(cursor)
        oldest = self._count - len(self._answers)
        first = max(begin, oldest) - oldest
        found = tuple(islice(self._answers, first, first + limit))
        end = oldest + first + len(found)
        who = self._who
        return Answers(
            boot=who.boot,
            model=who.model,
            version=who.version,
            digest=who.digest,
            cursor=f"{who.boot}.{end}",
            missed=max(0, oldest - begin),
            more=end < self._count,
            answers=found,
        )

    def _place(self, cursor: str) -> int:
        if not cursor:
            return 0
        match = CURSOR.fullmatch(cursor)
        if match is None:
            raise InvalidRequest(f"{cursor[:80]!r} is no cursor; leave `since` out to begin")
        if match[1] != self._who.boot:
            return 0
        place = int(match[2])
        if place > self._count:
            raise InvalidRequest(f"the cursor {cursor!r} is ahead of the newest answer")
        return place


def read_query(query: Mapping[str, str]) -> tuple[str, int]:
    """Return `since` and `limit` of a query.

    Raises:
        InvalidRequest: the limit is no whole number of at least 1.
    """
    limit = query.get("limit", str(PAGE))
    is_number = limit.isascii() and limit.isdigit() and len(limit) <= MOST_DIGITS
    if not is_number or int(limit) < 1:
        raise InvalidRequest(f"limit={limit[:80]!r} is not a whole number of at least 1")
    return query.get("since", ""), min(PAGE, int(limit))


def _answered(request_id: str, role: Role, at: datetime, scores: Array) -> Answered:
    values, classes = shown(scores)
    return Answered(request_id, role, at, len(scores), values, classes)
