"""How many requests were answered, how, and how fast: plain numbers, cheap enough for every request.

Written on the event loop's thread only.  `metrics.py` shows them to Prometheus.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

from modelyard_core.roles import Role

BUCKETS = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
"""Upper ends of the cells of durations, in seconds; one more cell is above the last."""
OK = 200


@dataclass(slots=True)
class RoleCounts:
    """Requests of one role since the start."""

    answered: dict[int, int] = field(default_factory=dict)
    """By status code."""
    seconds: dict[int, float] = field(default_factory=dict)
    """By status code, from the requests' heads to their whole answers."""
    cells: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    rows: int = 0


class RequestCounts:
    """Counts by role."""

    def __init__(self) -> None:
        self.roles: dict[Role, RoleCounts] = {}

    def role(self, role: Role) -> RoleCounts:
        """Return the counts of a role, to read or to add to."""
        found = self.roles.get(role)
        if found is None:
            found = self.roles[role] = RoleCounts()
        return found

    def answered(self, role: Role, code: int, seconds: float) -> None:
        """Count one request."""
        mine = self.role(role)
        mine.answered[code] = mine.answered.get(code, 0) + 1
        mine.seconds[code] = mine.seconds.get(code, 0.0) + seconds
        mine.cells[bisect_left(BUCKETS, seconds)] += 1

    def answered_together(self, role: Role, starts: Sequence[float], end: float, rows: int) -> None:
        """Count successes that ended at one moment."""
        mine = self.role(role)
        mine.answered[OK] = mine.answered.get(OK, 0) + len(starts)
        mine.seconds[OK] = mine.seconds.get(OK, 0.0) + len(starts) * end - sum(starts)
        mine.rows += rows
        longest = bisect_left(BUCKETS, end - min(starts))
        if longest == bisect_left(BUCKETS, end - max(starts)):
            mine.cells[longest] += len(starts)
        else:
            for start in starts:
                mine.cells[bisect_left(BUCKETS, end - start)] += 1
