"""The queue of keys to reconcile, with the semantics of client-go's work queue.

A key waits at most once, is handed to one worker at a time, and runs again if it was touched
while busy.  Failures back off per key; the earliest of several wake-ups wins.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from modelyard_operator.kind import Key
from modelyard_operator.telemetry import Telemetry

FIRST_BACKOFF = 0.05
LONGEST_BACKOFF = 300.0
_DOUBLINGS = 13
"""Enough to pass the longest backoff; keeps the power small for keys that fail for days."""


class Timer(Protocol):
    """A wake-up that can be called off."""

    def cancel(self) -> None:
        """Call it off."""
        ...

    def when(self) -> float:
        """Return the time at which it fires."""
        ...


class Timers(Protocol):
    """The part of an event loop that the queue needs: monotonic time and wake-ups."""

    def time(self) -> float:
        """Return monotonic seconds."""
        ...

    def call_at(self, when: float, callback: Callable[[], None], /) -> Timer:
        """Call back at a time."""
        ...


def jittered(seconds: float, share: float) -> float:
    """Return a length of time moved by at most this share, so that wake-ups spread."""
    return seconds * random.uniform(1 - share, 1 + share)  # noqa: S311 (spreads load, hides nothing)


class WorkQueue:
    """Keys to reconcile.  All methods belong to one event loop."""

    def __init__(self, timers: Timers, telemetry: Telemetry) -> None:
        self._timers = timers
        self._telemetry = telemetry
        self._ready: asyncio.Queue[Key] = asyncio.Queue()
        self._waiting_since: dict[Key, float] = {}
        self._busy: set[Key] = set()
        self._failures: Counter[Key] = Counter()
        self._wakeups: dict[Key, Timer] = {}
        self._finished_at = timers.time()

    def add(self, key: Key) -> None:
        """Let a key be reconciled soon; once, however often it is added until then."""
        if key in self._waiting_since:
            return
        self._waiting_since[key] = self._timers.time()
        self._telemetry.queue_adds.labels(key.kind).inc()
        if key not in self._busy:
            self._offer(key)

    def add_after(self, key: Key, seconds: float) -> None:
        """Add a key later; an earlier wake-up of the same key stays, a later one is replaced."""
        when = self._timers.time() + seconds
        pending = self._wakeups.get(key)
        if pending is not None:
            if pending.when() <= when:
                return
            pending.cancel()
        self._wakeups[key] = self._timers.call_at(when, lambda: self._wake(key))

    def _wake(self, key: Key) -> None:
        self._wakeups.pop(key, None)
        self.add(key)

    def retry(self, key: Key, *, at_least: float = 0.0) -> float:
        """Add a key after its backoff, which doubles with every failure; return the delay."""
        doublings = min(self._failures[key], _DOUBLINGS)
        self._failures[key] += 1
        self._telemetry.queue_retries.labels(key.kind).inc()
        backoff = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2**doublings)
        delay = jittered(backoff, 0.2) if backoff > at_least else at_least + jittered(1, 0.5)
        self.add_after(key, delay)
        return delay

    def succeed(self, key: Key) -> None:
        """End the backoff of a key."""
        self._failures.pop(key, None)

    def drop(self, key: Key) -> None:
        """Forget a key whose object has gone: no backoff, no wake-up."""
        self.succeed(key)
        if (pending := self._wakeups.pop(key, None)) is not None:
            pending.cancel()

    async def get(self) -> Key:
        """Wait for the next key; it stays with the caller until `done`."""
        key = await self._ready.get()
        waited = self._timers.time() - self._waiting_since.pop(key)
        self._telemetry.queue_duration.labels(key.kind).observe(waited)
        self._telemetry.queue_depth.labels(key.kind).dec()
        self._busy.add(key)
        return key

    def done(self, key: Key) -> None:
        """Give a key back; it runs again at once if it was added meanwhile."""
        self._busy.discard(key)
        self._finished_at = self._timers.time()
        if key in self._waiting_since:
            self._offer(key)

    def _offer(self, key: Key) -> None:
        self._telemetry.queue_depth.labels(key.kind).inc()
        self._ready.put_nowait(key)

    def oldest_wait(self) -> float:
        """Return for how many seconds the longest waiting key has been waiting."""
        if not self._waiting_since:
            return 0.0
        return self._timers.time() - min(self._waiting_since.values())

    def idle_time(self) -> float:
        """Return for how many seconds no key has been given back."""
        return self._timers.time() - self._finished_at

    def known(self) -> int:
        """Return how many keys wait, run, or have a wake-up."""
        return len(self._wakeups.keys() | self._waiting_since.keys() | self._busy)
