"""Waiting for a condition, with a limit and an interrupt."""

import time
from collections.abc import Callable
from http.client import HTTPException
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.01
NOT_YET = (OSError, HTTPException, ValueError)
"""What a process that is starting, stopping or busy makes a reader see."""


def never() -> bool:
    """Return False: a wait that only its limit ends."""
    return False


def until(
    condition: Callable[[], T | None], seconds: float, interrupted: Callable[[], bool] = never
) -> T | None:
    """Return the first true answer of a condition, or None when time is up or it is interrupted."""
    deadline = time.monotonic() + seconds
    while True:
        if answer := _ask(condition):
            return answer
        if time.monotonic() > deadline or interrupted():
            return None
        time.sleep(POLL_SECONDS)


def _ask(condition: Callable[[], T | None]) -> T | None:
    try:
        return condition()
    except NOT_YET:
        return None
