"""A token bucket: how fast this process may write to the Kubernetes API."""

import asyncio
from collections.abc import Callable


class TokenBucket:
    """At most `burst` at once and `rate` a second in the long run; callers wait their turn."""

    def __init__(self, rate: float, burst: float, monotonic: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = burst
        self._monotonic = monotonic
        self._level = burst
        self._at = monotonic()

    def reserve(self, cost: float) -> float:
        """Take tokens now and return for how many seconds the caller has to wait."""
        now = self._monotonic()
        self._level = min(self._burst, self._level + (now - self._at) * self._rate)
        self._at = now
        self._level -= cost
        return max(0.0, -self._level / self._rate)

    async def take(self, cost: float) -> None:
        """Wait until there is room for a call of this cost."""
        if (delay := self.reserve(cost)) > 0:
            await asyncio.sleep(delay)
