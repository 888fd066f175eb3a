"""One HTTP connection: uvicorn's own protocol with limits, deadlines and JSON errors around it.

This is the place where a faster way for the one hot request can take over a connection's bytes
before they become an ASGI call.
"""

from asyncio import AbstractEventLoop, TimerHandle, Transport
from typing import Any, cast

from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, Scope
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.server import ServerState

from modelyard_serving import http_errors
from modelyard_serving.gate import Gate
from modelyard_serving.metrics import Metrics
from modelyard_serving.settings import Limits

HEALTH = b"/v2/health/"
BODY_HEADERS = (b"content-length", b"transfer-encoding")
FLOOD = 2
"""Times the connection limit from which on connections are closed unread."""


class ServingProtocol(HttpToolsProtocol):
    """A connection that is bounded in header size, in time, and in number.

    Beyond the connection limit only health probes are answered: a busy process is not a dead one.
    """

    limits: Limits
    gate: Gate
    metrics: Metrics

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._deadline: TimerHandle | None = None
        self._begun = False
        self._in_head = False
        self._head_bytes = 0
        self._crowded = False
        self._refusal = (400, "the bytes are not HTTP")

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Take the connection, or close it where there are far too many."""
        super().connection_made(transport)
        count = len(self.connections)
        self._crowded = count > self.limits.max_connections
        if count > self.limits.max_connections * FLOOD:
            self._refuse(503, "too many connections")
            return
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline."""
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, within the limits of a request's head and of its time."""
        if self.transport.is_closing():
            return
        if self._is_idle():
            self._arm()
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > self.limits.max_header_bytes:
                self._refuse(431, self._head_sentence())

    def on_message_begin(self) -> None:
        """Start the clock and the count of a new request."""
        super().on_message_begin()
        self._begun = True
        self._in_head = True
        self._head_bytes = 0
        self._arm()

    def on_headers_complete(self) -> None:
        """Decide who answers this request and whether the connection outlives it."""
        self._in_head = False
        self._check_head()
        turned_away = self._crowded and not self.url.startswith(HEALTH)
        self.app = _turn_away if turned_away else self.config.loaded_app
        if turned_away:
            self.metrics.rejected("TooManyConnections")
        super().on_headers_complete()
        if self._crowded or self.gate.draining or self.parser.should_upgrade():
            self.cycle.keep_alive = False

    def _check_head(self) -> None:
        """Raise to make the parser give up a request whose head is not acceptable."""
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > self.limits.max_header_bytes:
            self._refusal = (431, self._head_sentence())
            raise ValueError(self._refusal[1])
        # The parser takes what follows an offered upgrade for another protocol, the body included.
        has_body = any(name in BODY_HEADERS for name, _ in self.headers)
        if self.parser.should_upgrade() and has_body:
            self._refusal = (400, "a request with a body cannot offer an upgrade; send it plainly")
            raise ValueError(self._refusal[1])

    def on_message_complete(self) -> None:
        """Stop the clock: the request is here."""
        self._disarm()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are not an acceptable request in the form of every other error."""
        del msg
        self._refuse(*self._refusal)

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, at once if its client does not even read."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()

    def _is_idle(self) -> bool:
        cycle = self._current()
        over = cycle is None or cycle.response_complete
        return over and self._deadline is None and not self.pipeline

    def _current(self) -> RequestResponseCycle | None:
        """Return the request that is being answered or was last; None before the first."""
        return self.cycle

    def _arm(self) -> None:
        self._disarm()
        self._deadline = self.loop.call_later(self.limits.receive_seconds, self._expire)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _expire(self) -> None:
        self._deadline = None
        if self.flow.read_paused:  # we are the slow side
            self._arm()
        elif not self._begun:
            self.transport.close()
        else:
            self.metrics.rejected("TooSlow")
            self._refuse(408, f"the request took over {self.limits.receive_seconds:g} s to arrive")

    def _refuse(self, status: int, sentence: str) -> None:
        """Answer, unless another answer has begun, and close."""
        cycle = self._current()
        answering = cycle is not None and cycle.response_started and not cycle.response_complete
        if not answering and not self.transport.is_closing():
            self.transport.write(_error_bytes(status, sentence))
        self.transport.close()

    def _head_sentence(self) -> str:
        return f"the request's head is over the limit of {self.limits.max_header_bytes} bytes"


def _error_bytes(status: int, sentence: str) -> bytes:
    body = http_errors.body(sentence)
    head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
    return STATUS_LINE[status] + head % len(body) + body


async def _turn_away(_: Scope, __: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    body = http_errors.body("too many connections; try again")
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"retry-after", b"1"),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def bounded(limits: Limits, gate: Gate, metrics: Metrics) -> type[HttpToolsProtocol]:
    """Return the protocol class of one server."""
    members = {"limits": limits, "gate": gate, "metrics": metrics}
    return cast("type[HttpToolsProtocol]", type("BoundedProtocol", (ServingProtocol,), members))
