"""What rounds on a shared machine say: medians, and ratios taken pair by pair.

A machine's speed drifts by tens of percent within a minute.  Two servers that are measured directly
after one another meet the same machine, so their quotient holds when neither absolute figure does.
"""

from collections.abc import Sequence
from statistics import median


def paired_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median of the rounds' quotients.

    >>> paired_ratio([100.0, 50.0, 220.0], [10.0, 5.0, 20.0])
    10.0

    Raises:
        ValueError: no rounds, not equally many, or nothing was measured in one.
    """
    if not ours or min(theirs, default=0.0) <= 0:
        raise ValueError("a round without a figure")
    return median(our / their for our, their in zip(ours, theirs, strict=True))


def rounded(value: float, digits: int = 3) -> float:
    """Return a figure without digits that mean nothing.

    >>> [rounded(x) for x in (98765.4, 0.123456, 12.3456, 0.0)]
    [98800.0, 0.123, 12.3, 0.0]
    """
    return float(f"{value:.{digits}g}")
