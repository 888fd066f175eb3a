"""One command at a time, where two would disturb each other."""

from __future__ import annotations

import contextlib
import fcntl
from typing import TYPE_CHECKING

from hack import programs
from hack.terminal import Failure, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

OTHERS_MAY_TAKE_SECONDS = 1800


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold a lock file; wait, with a word about it, while another command holds it.

    Raises:
        Failure: The other command took too long.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        if not _take(lock.fileno()):
            say(f"waiting for another command to release {path}")
            if not programs.wait_until(
                lambda: _take(lock.fileno()), timeout_seconds=OTHERS_MAY_TAKE_SECONDS
            ):
                raise Failure(f"another command has held {path} for too long")
        yield


def once(made: Path, lock: Path, make: Callable[[], None]) -> None:
    """Make what is kept between commands, unless it is there; one command at a time makes it.

    Raises:
        Failure: Another command took too long, or whatever `make` raises.
    """
    if not made.exists():
        with held(lock):
            if not made.exists():
                make()


def is_free(path: Path) -> bool:
    """Tell whether nobody holds a lock file now."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        return _take(lock.fileno())


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
