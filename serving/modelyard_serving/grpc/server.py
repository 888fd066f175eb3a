"""The listener of gRPC: starts, says goodbye in two steps, and ends.

start ──► drain   not ready; clients are asked to go elsewhere, and what they still send is
                  answered; who connects nevertheless is served
      ──► stop    nobody new; running calls finish, for so long at most
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from modelyard_serving.clock import monotonic
from modelyard_serving.gate import Gate
from modelyard_serving.grpc.shared import Shared
from modelyard_serving.held_bytes import HeldBytes
from modelyard_serving.metrics import Metrics
from modelyard_serving.protection import Protection
from modelyard_serving.receipts import Receipts
from modelyard_serving.settings import ServeSettings

if TYPE_CHECKING:
    from modelyard_serving.fast_model import FastModel
    from modelyard_serving.grpc.protocol import GrpcProtocol
    from modelyard_serving.grpc.service import Service

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
        papers: Receipts,
        held: HeldBytes,
    ) -> None:
        self._told = told
        self._gate = gate
        self._metrics = metrics
        self._papers = papers
        self._model: FastModel | None = None
        self._service: Service | None = None
        self._protocol: type[GrpcProtocol] | None = None
        self._shared: Shared[GrpcProtocol] = Shared(
            {}, told.limits, shield.access, metrics.rejected, held
        )
        self._certificates = shield.certificates
        self._listener: asyncio.Server | None = None
        self._sweeper: asyncio.TimerHandle | None = None

    def open(self, model: "FastModel") -> None:
        """Answer with a proven model in the fast way, too, from now on."""
        self._model = model
        if self._service is not None:
            self._service.infer.open(model, share=self._told.coalesce)

    async def prepare(self) -> None:
        """Be ready for the first connection; in a thread, for the most part."""
        if self._service is None:
            await asyncio.to_thread(_import)
            self._serve()

    def _serve(self) -> None:
        """Answer calls from now on."""
        if self._service is not None:
            return
        service, self._protocol = _import()
        self._service = service(self._gate, self._metrics, self._papers)
        self._shared.methods = self._service.methods
        if self._model is not None:
            self._service.infer.open(self._model, share=self._told.coalesce)

    def _connect(self) -> "GrpcProtocol":
        self._serve()
        assert self._protocol is not None
        return self._protocol(self._shared)

    async def start(self) -> int:
        """Listen, and return the port.

        Raises:
            OSError: the port cannot be had.
        """
        told, certificates = self._told, self._certificates
        self._listener = await asyncio.get_running_loop().create_server(
            self._connect,
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
        self._tell_watchers()
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
        if self._service is not None:
            self._service.watch.close()
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

    def _tell_watchers(self) -> None:
        if self._service is not None:
            self._service.watch.update()

    def _end(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in list(self._shared.connections):
            connection.abort()

    def _sweep(self) -> None:
        """Look after everything that takes its time."""
        now = monotonic()
        self._tell_watchers()
        for connection in list(self._shared.connections):
            connection.check(now)
        self._sweeper = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep)


def _import() -> "tuple[type[Service], type[GrpcProtocol]]":
    """Return what answers calls, and what speaks with clients.

    Importing the messages and the compression of headers costs more than the rest of this room.
    """
    from modelyard_serving.grpc.protocol import GrpcProtocol
    from modelyard_serving.grpc.service import Service

    return Service, GrpcProtocol
