"""The grid of time: buckets that every window is a whole number of, and the windows now closed.

Everything is aligned to the Unix epoch, so a restart finds the same windows.  Seconds are whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd

MAX_BUCKET = 300
FASTEST_SCRAPE, SLOWEST_SCRAPE = 5.0, 15.0
SCRAPES_PER_WINDOW = 12


@dataclass(frozen=True, slots=True)
class Span:
    """One window: a scale and where it lies."""

    seconds: int
    end: int

    @property
    def start(self) -> int:
        """The first second of the window."""
        return self.end - self.seconds


def bucket_seconds(windows: Sequence[int]) -> int:
    """Return the size of a bucket: the largest divisor of all windows up to five minutes.

    >>> bucket_seconds([3600, 4 * 3600, 86400]), bucket_seconds([60, 600]), bucket_seconds([420])
    (300, 60, 210)
    """
    common = gcd(*windows)
    return next(size for size in range(min(common, MAX_BUCKET), 0, -1) if common % size == 0)


def scrape_interval(windows: Sequence[int]) -> float:
    """Return how often sketches are read: a window's edge is sharp to a twelfth of a short one.

    At the fastest a pod that ends is read once more in the ten seconds that it leaves for it.

    >>> scrape_interval([60]), scrape_interval([3600])
    (5.0, 15.0)
    """
    return min(SLOWEST_SCRAPE, max(FASTEST_SCRAPE, min(windows) / SCRAPES_PER_WINDOW))


def floor(moment: float, seconds: int) -> int:
    """Return the latest boundary of the grid at or before a moment.

    >>> floor(125.5, 60)
    120
    """
    return int(moment // seconds) * seconds


def closed(starts: Sequence[int], seconds: int, after: int, now: float) -> list[Span]:
    """Return the windows of one scale that have closed since `after` and hold a bucket, in order.

    `starts` are the buckets that exist.  The newest closed window is always among them, even where
    it is empty: silence has to be reported too, but once is enough for a night of it.

    >>> [span.end for span in closed([0, 60, 600], 120, 0, 850.0)]
    [120, 720, 840]
    """
    newest = floor(now, seconds)
    ends = {floor(start, seconds) + seconds for start in starts}
    due = {end for end in ends if after < end <= newest}
    if newest > after:
        due.add(newest)
    return [Span(seconds, end) for end in sorted(due)]
