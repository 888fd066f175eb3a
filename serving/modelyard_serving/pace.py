"""How long a run of the model takes, learned from the runs.

A run costs something whatever its rows, and something for each of them, and which of the two is the
larger differs from model to model.  So runs are remembered by size, in classes that double.

What counts is processor time: a thread that waits for its turn on a busy node is not a slow model.
To ask for it twice is a tenth of what a small request costs, so sizes whose runs are short are asked
now and then only; and as soon as one of them took long by the clock on the wall, which costs nothing.
"""

CLASSES = 64
SLOWER, FASTER = 0.1, 0.5
"""How much one run weighs.  A model cannot run faster than it can, but for many reasons slower."""
SLOW_SECONDS = 0.001
"""A run that is expected to take longer is moved off the event loop."""
SHORT_SECONDS = SLOW_SECONDS / 16
ASKED = 17
"""One of so many short runs is timed; an odd number, so that no size that comes each second time, or
each fourth, is always left out."""
MAX_ROWS = 256
MAX_ROWS_TOGETHER = 1024
TOGETHER_SECONDS = 0.005
"""A run that several requests share may take longer than that of one: after runs of their own they
would hold up the others as long, and be answered later."""


class Pace:
    """Expected seconds by rows; any thread may write, and lose a sample to another: no harm."""

    def __init__(self) -> None:
        self._seconds = [0.0] * CLASSES
        self._runs = 0
        self.rows_in_time = MAX_ROWS
        """How many rows one request may have without holding up the event loop; maybe none."""
        self.rows_together = MAX_ROWS_TOGETHER
        """How many rows such requests may have together, for a run that they share."""

    def is_due(self) -> bool:
        """Return whether the next run is timed, however short."""
        self._runs += 1
        return not self._runs % ASKED

    def is_short(self, rows: int) -> bool:
        """Return whether runs of this size are known to be short."""
        return 0 < self._seconds[_class_of(rows)] < SHORT_SECONDS

    def is_slow(self, rows: int) -> bool:
        """Return whether a run of this size is expected to hold up the event loop."""
        return self.expected(rows) > SLOW_SECONDS

    def forget(self, rows: int) -> None:
        """Know nothing about this size any more: its next run is timed."""
        self._seconds[_class_of(rows)] = 0.0

    def observe(self, rows: int, seconds: float) -> None:
        """Learn from one run, by its processor time."""
        size = _class_of(rows)
        known = self._seconds[size]
        weight = FASTER if seconds < known else SLOWER
        self._seconds[size] = known + weight * (seconds - known) if known else seconds
        self.rows_in_time = self._most(MAX_ROWS, SLOW_SECONDS)
        self.rows_together = self._most(MAX_ROWS_TOGETHER, TOGETHER_SECONDS)

    def _most(self, rows: int, seconds: float) -> int:
        """Return so many rows, halved until their run is expected to take at most so long."""
        while rows and self.expected(rows) > seconds:
            rows //= 2
        return rows

    def expected(self, rows: int) -> float:
        """Return the seconds that a run may take; 0 as long as nothing is known.

        Twice the rows take at most twice as long, so that runs of half the size tell when a size that
        was slow for a while, and that nobody dares since, is fast again.

        >>> pace = Pace()
        >>> pace.observe(8, 0.5)
        >>> pace.expected(1), pace.expected(8), pace.expected(16)
        (0.5, 0.5, 1.0)
        """
        size = _class_of(rows)
        known, half = self._seconds[size], self._seconds[size - 1]
        if known:
            return min(known, 2 * half) if half else known
        for smaller in range(size - 1, -1, -1):
            if self._seconds[smaller]:
                return self._seconds[smaller] * (1 << (size - smaller))
        return next((seconds for seconds in self._seconds[size:] if seconds), 0.0)


def _class_of(rows: int) -> int:
    return min(max(rows, 1).bit_length(), CLASSES - 1)
