"""The listener of gRPC: starts, says goodbye in two steps, and ends.

start ──► drain   not ready; clients are asked to go elsewhere, and what they still send is
                  answered; who connects nevertheless is served
      ──► stop    nobody new; running calls finish, for so long at most
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable

from modelyard_serving import grpc_service, receipts
from modelyard_serving.clock import monotonic
from modelyard_serving.fast_model import FastModel
from modelyard_serving.gate import Gate
from modelyard_serving.grpc_connection import Shared
from modelyard_serving.grpc_protocol import GrpcProtocol
from modelyard_serving.metrics import Metrics
from modelyard_serving.protection import Protection
from modelyard_serving.receipts import Receipts
from modelyard_serving.settings import ServeSettings

logger = logging.getLogger(__name__)

ALPN = ("h2",)
SWEEP_SECONDS = 1.0
GOODBYE_SECONDS = 1.0
"""How long a client has to say that it knows of the goodbye."""


class GrpcServer:
    """One listener and its connections."""

    def __init__(
        self,
        told: ServeSettings,
        gate: Gate,
        metrics: Metrics,
        shield: Protection,
        papers: Receipts = receipts.NONE,
    ) -> None:
        self._told = told
        self._infer = grpc_service.Infer(gate, metrics, papers)
        self._watch = grpc_service.Watch(gate)
        methods = grpc_service.methods(gate, self._infer, self._watch)
        self._shared: Shared[GrpcProtocol] = Shared(methods, told.limits, shield.access)
        self._certificates = shield.certificates
        self._listener: asyncio.Server | None = None
        self._sweeper: asyncio.TimerHandle | None = None

    def open(self, model: FastModel) -> None:
        """Answer with a proven model in the fast way, too, from now on."""
        self._infer.open(model, share=self._told.coalesce)

    async def start(self) -> int:
        """Listen, and return the port.

        Raises:
            OSError: the port cannot be had.
        """
        told, certificates = self._told, self._certificates
        self._listener = await asyncio.get_running_loop().create_server(
            lambda: GrpcProtocol(self._shared),
            told.host,
            told.grpc_port,
            ssl=None if certificates is None else certificates.context(ALPN),
            backlog=max(1024, told.limits.max_connections),
        )
        self._sweep()
        port: int = self._listener.sockets[0].getsockname()[1]
        logger.info("gRPC on %s:%d", told.host, port)
        return port

    def drain(self) -> None:
        """Tell that this process is not ready any more, and ask the clients to leave."""
        self._watch.update()
        for connection in list(self._shared.connections):
            connection.announce_leaving()
            connection.flush()

    async def stop(self, finish_seconds: float) -> None:
        """Take nothing new, let running calls finish, and close what is left after that time."""
        end = monotonic() + finish_seconds
        if self._listener is not None:
            self._listener.close()
        connections = self._shared.connections
        for connection in list(connections):
            if not connection.leaving:
                connection.announce_leaving()
                connection.flush()
        known = min(end, monotonic() + GOODBYE_SECONDS)
        await self._until(lambda: all(each.leaving for each in connections), known)
        self._watch.close()
        for connection in list(connections):
            connection.leave()
            connection.flush()
        await self._until(lambda: not connections, end)
        self._end()

    async def _until(self, condition: Callable[[], bool], end: float) -> None:
        changed = self._shared.changed
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(end - monotonic()):
                while not condition():
                    changed.clear()
                    await changed.wait()

    def _end(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in list(self._shared.connections):
            connection.abort()

    def _sweep(self) -> None:
        """Look after everything that takes its time."""
        now = monotonic()
        self._watch.update()
        for connection in list(self._shared.connections):
            connection.check(now)
        self._sweeper = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep)
