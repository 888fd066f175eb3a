"""The uvicorn server with a drain: on SIGTERM it says not ready, goes on answering, then ends.

    SIGTERM ──► readiness 503, every answer closes its connection      for `drain_seconds`
            ──► no new connections; running requests finish            for `finish_seconds` at most
            ──► exit 0

A second SIGTERM, or SIGINT, skips the first part, and so does a process that was never ready.
"""

import asyncio
import logging
import signal
import socket
import sys
from types import FrameType

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from modelyard_serving import clock
from modelyard_serving.gate import Gate
from modelyard_serving.grpc.server import GrpcServer
from modelyard_serving.protection import Protection
from modelyard_serving.settings import Limits, ServeSettings

logger = logging.getLogger(__name__)

HTTP = ("http/1.1",)
"""What is spoken here, as a TLS client asks for it."""


class DrainingServer(uvicorn.Server):
    """A server that its clients can leave without losing a request, with gRPC beside HTTP."""

    def __init__(
        self,
        config: uvicorn.Config,
        gate: Gate,
        limits: Limits,
        grpc: GrpcServer | None,
    ) -> None:
        super().__init__(config)
        self._gate = gate
        self._limits = limits
        self._grpc = grpc
        self._drained_at: float | None = None
        self._announced = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen on both ports."""
        await super().startup(sockets)
        if self._grpc is not None and not self.should_exit:
            try:
                await self._grpc.start()
            except OSError as error:
                logger.error("gRPC cannot listen: %s", error)  # noqa: TRY400
                sys.exit(1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let running requests and calls finish."""
        ends = [super().shutdown(sockets)]
        if self._grpc is not None:
            ends.append(self._grpc.stop(self._limits.finish_seconds))
        await asyncio.gather(*ends)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin the drain, or end it."""
        del frame
        # The signal is not kept: uvicorn would raise it again and turn exit 0 into a kill.
        if sig == signal.SIGINT or not self._gate.is_ready():
            self.should_exit = True
            return
        self._gate.drain()
        self._drained_at = clock.monotonic() + self._limits.drain_seconds

    async def on_tick(self, counter: int) -> bool:
        """Return whether it is time to stop listening."""
        if self._drained_at is not None:
            if self._grpc is not None and not self._announced:
                self._announced = True
                self._grpc.drain()
            for connection in list(self.server_state.connections):
                cycle = getattr(connection, "cycle", None)
                if cycle is not None:
                    cycle.keep_alive = False
            if clock.monotonic() >= self._drained_at:
                self.should_exit = True
        return await super().on_tick(counter)


def build(
    app: ASGIApp,
    http: type[HttpToolsProtocol],
    settings: ServeSettings,
    gate: Gate,
    shield: Protection,
    grpc: GrpcServer | None,
) -> DrainingServer:
    """Return the server, not running yet; `http` is its connections' protocol."""
    limits = settings.limits
    tls = None if shield.certificates is None else shield.certificates.context(HTTP)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="modelyard_serving.loop:ServingLoop",
        http=http,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        backlog=max(1024, limits.max_connections),
        timeout_keep_alive=limits.keep_alive_seconds,
        timeout_graceful_shutdown=int(limits.finish_seconds),
        ssl_context_factory=None if tls is None else lambda _, __: tls,
    )
    return DrainingServer(config, gate, limits, grpc)
