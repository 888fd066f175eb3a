"""Time that moves when told, for what waits on an event loop's timers."""

import heapq
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Wakeup:
    """A timer of `VirtualTime`."""

    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self._when = when
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True

    def when(self) -> float:
        return self._when


class VirtualTime:
    """Monotonic seconds and a wall clock that move together, and timers."""

    def __init__(self) -> None:
        self._seconds = 100.0
        self._order = itertools.count()
        self._timers: list[tuple[float, int, Wakeup]] = []

    def time(self) -> float:
        return self._seconds

    monotonic = time

    def now(self) -> datetime:
        return START + timedelta(seconds=self._seconds - 100)

    def call_at(self, when: float, callback: Callable[[], None]) -> Wakeup:
        wakeup = Wakeup(when, callback)
        heapq.heappush(self._timers, (when, next(self._order), wakeup))
        return wakeup

    def pass_by(self, seconds: float) -> None:
        """Let time pass, firing what is due in order."""
        end = self._seconds + seconds
        while self._timers and self._timers[0][0] <= end:
            self._seconds, _, wakeup = heapq.heappop(self._timers)
            if not wakeup.cancelled:
                wakeup.callback()
        self._seconds = end
