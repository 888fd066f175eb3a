"""How long a run of the model takes, learned from the runs.

A run costs something whatever its rows, and something for each of them, and which of the two is the
larger differs from model to model.  So runs are remembered by size, in classes that double.
"""

CLASSES = 64
SLOWER, FASTER = 0.1, 0.5
"""How much one run weighs.  A model cannot run faster than it can, but for many reasons slower."""


class Pace:
    """Expected seconds by rows; any thread may write, and lose a sample to another: no harm."""

    def __init__(self) -> None:
        self._seconds = [0.0] * CLASSES

    def observe(self, rows: int, seconds: float) -> None:
        """Learn from one run."""
        size = _class_of(rows)
        known = self._seconds[size]
        weight = FASTER if seconds < known else SLOWER
        self._seconds[size] = known + weight * (seconds - known) if known else seconds

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
