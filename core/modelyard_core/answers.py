"""A sample of what a serving process answered, by request: what two versions are compared by.

Whether a request is kept follows from its id alone, so that the processes that saw copies of one
request keep the same ones.  A busy process keeps fewer: those with a smaller `level` are among
those of every less busy one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zlib import crc32

from modelyard_core.roles import Role

ID_LENGTH = 128
"""A request whose id is longer, or is not printable ASCII, is never kept."""
SCORES = 16
"""Rows of a request whose scores are kept."""
HASHES = 1 << 32
"""An id's hash lies below, and is the same in every process."""
FACTOR = 0x9E3779B1
"""It is odd, so different hashes stay different; alone, a CRC of counted ids is lumpy."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What one request was answered."""

    id: str
    role: Role
    at: datetime
    rows: int
    scores: tuple[float | None, ...]
    """Of the first rows, as the sketch's prediction counts them; None where it is not finite."""
    classes: tuple[int, ...] | None = None
    """The place of the largest score of each of these rows; None below three classes."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers that came after a cursor, oldest first."""

    boot: str
    model: str
    version: str
    digest: str
    cursor: str
    """What to ask for next: nothing comes twice, and nothing is left out that is not counted as
    missed."""
    missed: int
    """Answers after the given cursor that had been forgotten before they were asked for."""
    more: bool
    """Whether the next page has answers already."""
    answers: tuple[Answered, ...]


def chosen(ids: Sequence[str | None], level: int) -> list[int]:
    """Return the places of the requests that a process keeps which keeps one of 2^level.

    >>> chosen(["r-1", None, "r-2"], 0)
    [0, 2]
    """
    limit = HASHES >> level
    # Most are turned down by their hash, so it comes before the rest, and without a loop of its own.
    return [
        place
        for place, hashed in enumerate(_hashes(ids))
        if hashed * FACTOR % HASHES < limit and _is_plain(ids[place])
    ]


def _hashes(ids: Sequence[str | None]) -> list[int]:
    try:
        return list(map(crc32, map(str.encode, ids)))  # type: ignore[arg-type]
    except (TypeError, UnicodeEncodeError):  # one has no id, or half a character in it
        return [crc32((each or "").encode(errors="replace")) for each in ids]


def _is_plain(request_id: str | None) -> bool:
    if not request_id or len(request_id) > ID_LENGTH:
        return False
    return request_id.isascii() and request_id.isprintable()
