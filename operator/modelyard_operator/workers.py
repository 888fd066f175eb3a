"""Workers take keys from the queue, run one pass each, and tell the queue when to look again."""

import asyncio
import logging

from modelyard_core.errors import Unavailable
from modelyard_operator.kind import Key
from modelyard_operator.ports import ApiError
from modelyard_operator.reconcile import Outcome, Result, Shell
from modelyard_operator.telemetry import Telemetry
from modelyard_operator.work_queue import WorkQueue, jittered

log = logging.getLogger(__name__)

WORKERS = 16
PASS_SECONDS = 60.0
RESYNC_SECONDS = 600.0
"""Every key is looked at this often (± 10 %), whatever the watches say: a child that vanished
while a watch was down is noticed by nothing else."""
BLOCKED_SECONDS = 30.0
CONFLICT_SECONDS = 0.2

_CONFLICT = 409


class Workers:
    """A fixed number of tasks over one queue."""

    def __init__(self, shell: Shell, queue: WorkQueue, telemetry: Telemetry) -> None:
        self._shell = shell
        self._queue = queue
        self._telemetry = telemetry
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, count: int = WORKERS) -> None:
        """Start working."""
        self._tasks = [asyncio.create_task(self._work(), name=f"worker-{i}") for i in range(count)]

    async def stop(self) -> None:
        """Stop at once; a pass may be cut short anywhere, as by a crash."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                await self.run(key)
            finally:
                self._queue.done(key)

    async def run(self, key: Key) -> None:
        """Run one pass and schedule the next one of its key."""
        result = "error"
        self._telemetry.active_workers.labels(key.kind).inc()
        try:
            with self._telemetry.reconcile_time.labels(key.kind).time():
                async with asyncio.timeout(PASS_SECONDS):
                    outcome = await self._shell.reconcile(key)
            result = self._schedule(key, outcome)
        except Exception as error:  # noqa: BLE001 (one poisoned object must not stop the others)
            result = self._fail(key, error)
        finally:
            self._telemetry.active_workers.labels(key.kind).dec()
            self._telemetry.reconcile.labels(key.kind, result).inc()

    def _schedule(self, key: Key, outcome: Outcome) -> str:
        if outcome.result is Result.GONE:
            self._queue.drop(key)
            return outcome.result
        if outcome.result is Result.BLOCKED:
            self._queue.retry(key, at_least=BLOCKED_SECONDS)
            return outcome.result
        self._queue.succeed(key)
        self._queue.add_after(key, jittered(RESYNC_SECONDS, 0.1))
        if outcome.requeue_after is None:
            return outcome.result
        self._queue.add_after(key, max(0.0, outcome.requeue_after.total_seconds()))
        return "requeue_after"

    def _fail(self, key: Key, error: Exception) -> str:
        where = {"document": {"controller": key.kind, "object": f"{key.namespace}/{key.name}"}}
        if isinstance(error, ApiError) and error.code == _CONFLICT:
            self._queue.add_after(key, CONFLICT_SECONDS)
            return "conflict"
        at_least = 0.0
        if isinstance(error, ApiError):
            at_least = error.retry_after
        elif isinstance(error, Unavailable) and error.retry_after is not None:
            at_least = error.retry_after.total_seconds()
        delay = self._queue.retry(key, at_least=at_least)
        if isinstance(error, ApiError | Unavailable | TimeoutError):
            log.warning("again in %.1f s: %s", delay, _told(error), extra=where)
        else:
            log.error("again in %.1f s", delay, exc_info=error, extra=where)
        self._telemetry.reconcile_errors.labels(key.kind).inc()
        return "error"


def _told(error: Exception) -> str:
    slow = isinstance(error, TimeoutError)
    return f"the pass took longer than {PASS_SECONDS:.0f} s" if slow else str(error)
