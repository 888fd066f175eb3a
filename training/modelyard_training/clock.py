"""The only reader of the clock."""

import time
from datetime import UTC, datetime


def now() -> datetime:
    """Return this moment, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


def seconds() -> float:
    """Return a number that grows by one a second."""
    return time.monotonic()


def pause(duration: float) -> None:
    """Wait."""
    time.sleep(duration)


def age_of(modified: float) -> float:
    """Return how many seconds ago a file time was."""
    return time.time() - modified
