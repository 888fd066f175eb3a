"""What the person at the terminal reads: steps with their times, and one sentence on failure."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

STARTED = time.monotonic()


class Failure(Exception):
    """Something that the person has to know or do, as one sentence."""


def say(text: str) -> None:
    """Print one line with the time since the program started."""
    print(f"[{time.monotonic() - STARTED:6.1f} s] {text}", flush=True)


@contextmanager
def step(title: str) -> Iterator[None]:
    """Say what begins, and how long it took when it is done."""
    began = time.monotonic()
    say(f"{title} ...")
    yield
    say(f"{title}: done in {time.monotonic() - began:.1f} s")


def exit_with(failure: Failure) -> None:
    """End the program with the failure's sentence."""
    print(f"error: {failure}", file=sys.stderr, flush=True)
    sys.exit(1)
