"""Whether this process is alive and ready, and its metrics, over HTTP.

Alive means that restarting would not help; an API server that is away is no reason to restart.
A standby is as ready as a leader, otherwise no rolling update would ever end.
"""

import asyncio
from collections.abc import Callable
from typing import Self

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from modelyard_core.errors import ModelyardError
from modelyard_operator.lease import Lease
from modelyard_operator.telemetry import Telemetry
from modelyard_operator.work_queue import WorkQueue
from modelyard_operator.workers import RESYNC_SECONDS

BEAT_SECONDS = 1.0
LONGEST_LAG = 5.0
LONGEST_LEASE_AGE = 15.0
LONGEST_WAIT = 300.0


class Health:
    """What the probes ask."""

    def __init__(self, queue: WorkQueue, lease: Lease, monotonic: Callable[[], float]) -> None:
        self._queue = queue
        self._lease = lease
        self._monotonic = monotonic
        self._beat_at = monotonic()
        self.is_ready = False
        """Set once the API server has answered and serves our kinds."""

    async def beat(self) -> None:
        """Show for ever that the event loop turns."""
        while True:
            self._beat_at = self._monotonic()
            await asyncio.sleep(BEAT_SECONDS)

    def complaint(self) -> str | None:
        """Return what is wrong with this process; None: it is alive."""
        lag = self._monotonic() - self._beat_at - BEAT_SECONDS
        if lag > LONGEST_LAG:
            return f"the event loop lags by {lag:.0f} s"
        age = self._lease.age
        if age is None:
            return None
        if age > LONGEST_LEASE_AGE:
            return f"the lease was renewed {age:.0f} s ago"
        if (wait := self._queue.oldest_wait()) > LONGEST_WAIT:
            return f"a key has waited for {wait:.0f} s"
        if self._queue.known() and (idle := self._queue.idle_time()) > 2 * RESYNC_SECONDS:
            return f"no pass has ended for {idle:.0f} s"
        return None


class CannotListen(ModelyardError):
    """A port of ours is taken."""


class Endpoints:
    """The HTTP servers of probes and metrics; use as an async context manager."""

    def __init__(
        self, health: Health, telemetry: Telemetry, *, health_port: int, metrics_port: int
    ) -> None:
        self._health = health
        self._telemetry = telemetry
        self._ports = (health_port, metrics_port)
        self._runners: list[web.AppRunner] = []
        self.addresses: list[tuple[str, int]] = []

    async def __aenter__(self) -> Self:
        probes = web.Application()
        probes.router.add_get("/healthz", self._alive)
        probes.router.add_get("/readyz", self._ready)
        metrics = web.Application()
        metrics.router.add_get("/metrics", self._metrics)
        for application, port in zip((probes, metrics), self._ports, strict=True):
            runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
            await runner.setup()
            self._runners.append(runner)
            try:
                await web.TCPSite(runner, port=port).start()
            except OSError as error:
                await self.__aexit__()
                raise CannotListen(f"cannot listen on port {port}: {error.strerror}") from error
            self.addresses.append(runner.addresses[0][:2])
        return self

    async def __aexit__(self, *_: object) -> None:
        for runner in self._runners:
            await runner.cleanup()

    async def _alive(self, _request: web.Request) -> web.Response:
        complaint = self._health.complaint()
        return web.Response(text=complaint or "ok", status=503 if complaint else 200)

    async def _ready(self, _request: web.Request) -> web.Response:
        ready = self._health.is_ready
        return web.Response(text="ok" if ready else "starting", status=200 if ready else 503)

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(self._telemetry.registry),
            headers={"Content-Type": CONTENT_TYPE_LATEST},
        )
