"""Connections to the server in this process: bytes in, bytes out, one turn of the loop at a time."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import uvicorn
from uvicorn.server import ServerState

from modelyard_serving import access, app, fast_model, hot_path, loading, receipts
from modelyard_serving.coalescing import Coalescer
from modelyard_serving.gate import Gate
from modelyard_serving.held_bytes import HeldBytes
from modelyard_serving.metrics import Metrics
from support import http_wire, serving
from support.bundles import Bundle


class Wire(asyncio.Transport):
    """The client's end of a connection: what was written to it, and whether it reads."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.reads = True
        self.protocol: hot_path.HotProtocol
        self._closing = False

    def write(self, data) -> None:
        assert not self._closing, "a closed transport raises"
        self.written += data

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    abort = close

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name, default=None):
        return default


class Server:
    """A loaded bundle behind the protocol of the program."""

    def __init__(
        self, bundle: Bundle, *, coalesce=True, judge=None, papers=receipts.NONE, **limits
    ) -> None:
        told = serving.settings(bundle, **limits)
        self.loop = asyncio.get_running_loop()
        self.inference = loading.load(told, self.loop.call_later)
        for _ in range(8):  # what a run costs is known as if the server had run for long
            self.model = fast_model.of(self.inference)
        self._told = told
        self._judge = judge or access.Everybody()
        self._coalesce = coalesce
        self._papers = papers
        self.state = ServerState()
        self.close_gate()
        self.gate.open(self.inference)
        self.coalescer.open(self.model)

    def close_gate(self) -> None:
        """Begin anew, before the model is there."""
        self.gate = Gate()
        self.metrics = Metrics("rain", "1", self._told.digest, "")
        self.coalescer = Coalescer(self.metrics, self._papers, together=self._coalesce)
        application = app.create_app(self.gate, self.metrics, self._told.limits, self._papers)
        self.config = uvicorn.Config(application, log_config=None, ws="none", access_log=False)
        self.protocol = hot_path.protocol_of(
            self._told,
            self.gate,
            self.metrics,
            self._judge,
            self.coalescer,
            HeldBytes(self._told.limits.max_held_bytes),
        )

    def connect(self) -> hot_path.HotProtocol:
        """Return a new connection's protocol; its transport is a `Wire`."""
        connection = self.protocol(self.config, self.state, {}, self.loop)
        connection.connection_made(Wire())
        connection.transport.protocol = connection
        return connection

    async def converse(self, *pieces: bytes, turns=False) -> list[http_wire.Answer]:
        """Send pieces on one connection, each in a turn of its own or all in one; return the answers."""
        connection = self.connect()
        for piece in pieces:
            if connection.transport.is_closing():
                break
            connection.data_received(piece)
            if turns:
                await asyncio.sleep(0)
        return await self.answers(connection, 1)

    async def answers(self, connection, at_least: int) -> list[http_wire.Answer]:
        """Return all answers of a connection once there are so many, and no more are being made."""
        async with asyncio.timeout(serving.PATIENCE_SECONDS):
            while not _has_answered(connection, at_least):  # noqa: ASYNC110 (turn by turn)
                await asyncio.sleep(0)
        await asyncio.sleep(0)
        return http_wire.answers(bytes(connection.transport.written))

    def close(self) -> None:
        """End the threads."""
        self.inference.workers.close()


def _has_answered(connection: hot_path.HotProtocol, at_least: int) -> bool:
    cycle = connection.cycle
    busy = cycle is not None and not cycle.response_complete
    count = connection.transport.written.count(b"HTTP/1.1 ")
    return connection.transport.is_closing() or (count >= at_least and not busy)


@asynccontextmanager
async def hot(bundle: Bundle, **how) -> AsyncIterator[Server]:
    """Serve a bundle in this process."""
    server = Server(bundle, **how)
    yield server
    server.close()


def request(body: bytes, *fields: str, path=serving.INFER) -> bytes:
    """Return an inference request that the fast way knows."""
    lines = (f"POST {path} HTTP/1.1", "host: rain", f"content-length: {len(body)}", *fields, "", "")
    return "\r\n".join(lines).encode() + body


def chunked(body: bytes, *fields: str, path=serving.INFER) -> bytes:
    """Return the same request as only the slow way takes it."""
    lines = (f"POST {path} HTTP/1.1", "host: rain", "transfer-encoding: chunked", *fields, "", "")
    chunks = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
    return "\r\n".join(lines).encode() + chunks + b"0\r\n\r\n"


def cuts(data: bytes) -> Iterable[tuple[bytes, bytes]]:
    """Return every way to cut bytes in two."""
    return ((data[:place], data[place:]) for place in range(1, len(data)))
