"""A few threads for what would hold up the event loop, with a bounded line in front of them."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from modelyard_serving.errors import Overloaded

P = ParamSpec("P")
T = TypeVar("T")


class Workers:
    """Threads; onnxruntime releases the interpreter while it computes."""

    def __init__(self, threads: int, max_waiting: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="inference")
        self._max_waiting = max_waiting
        self._busy = 0

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what the work returns, from a thread.

        Raises:
            Overloaded: as many wait or run as may.
        """
        assert not kwargs
        if self._busy >= self._max_waiting:
            raise Overloaded(f"{self._busy} requests wait for the model already; try again")
        self._busy += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work, *args)
        finally:
            self._busy -= 1

    def close(self) -> None:
        """Let the threads end after what they run now."""
        self._pool.shutdown(wait=False)
