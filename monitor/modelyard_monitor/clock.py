"""The only reader of the clock."""

import time


def now() -> float:
    """Return the present moment in seconds since the epoch."""
    return time.time()


def monotonic() -> float:
    """Return a number of seconds that never goes back, for durations."""
    return time.monotonic()
