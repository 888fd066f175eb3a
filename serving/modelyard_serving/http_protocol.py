"""One HTTP connection: uvicorn's own protocol with limits, deadlines and JSON errors around it.

This is the place where a faster way for the one hot request can take over a connection's bytes
before they become an ASGI call.
"""

import logging
from asyncio import AbstractEventLoop, TimerHandle, Transport
from typing import Any

from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, Scope
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.server import ServerState

from modelyard_serving import http_errors, request_head
from modelyard_serving.gate import Gate
from modelyard_serving.held_bytes import HeldBytes
from modelyard_serving.metrics import Metrics
from modelyard_serving.request_head import Refusal
from modelyard_serving.settings import Limits

logger = logging.getLogger(__name__)
# A warning for each bad request would let anybody fill the log; a metric counts them.
logger.setLevel(logging.ERROR)

HEALTH = b"/v2/health/"
NOT_HTTP = Refusal(400, "the bytes are not HTTP")
UNAVAILABLE = 503
FLOOD = 2
"""Times the connection limit from which on connections are closed unread."""
CHUNK_BYTES = 8
"""Around each byte of a body, at most, beside what a head may have: sizes and trailers."""


class ServingProtocol(HttpToolsProtocol):
    """A connection that is bounded in header size, in time, and in number.

    Beyond the connection limit only health probes are answered: a busy process is not a dead one.
    """

    limits: Limits
    gate: Gate
    held: HeldBytes
    metrics: Metrics

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.logger = logger
        self._deadline: TimerHandle | None = None
        self._begun = False
        self._in_head = False
        self._receiving = False
        self._begun_in_packet = 0
        self._fed_bytes = 0
        self._body_bytes = 0
        self._mine_of_held = 0
        self._crowded = False
        self._refusal = NOT_HTTP
        self._farewell: bytes | None = None

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
        """Forget the deadline and the bodies."""
        self._disarm()
        self._give_back()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, within the limits of a request's head and of its time."""
        if self.transport.is_closing() or self._farewell is not None:
            return
        if self._is_idle():
            self._arm()
        goes_on = self._receiving
        self._begun_in_packet = 0
        super().data_received(data)
        # Where in the packet a second request began is not known.
        if self._receiving and self._begun_in_packet + goes_on == 1:
            self._count(len(data))

    def on_message_begin(self) -> None:
        """Start the clock and the count of a new request."""
        super().on_message_begin()
        self._begun = True
        self._in_head = self._receiving = True
        self._begun_in_packet += 1
        self._fed_bytes = self._body_bytes = 0
        self._arm()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field of the head; one that follows a body means nothing here."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Decide who answers this request and whether the connection outlives it."""
        self._check_head()
        self._in_head = False
        turned_away = self._crowded and not self.url.startswith(HEALTH)
        self.app = _turn_away if turned_away else self.config.loaded_app
        if turned_away:
            self.metrics.rejected("TooManyConnections")
        super().on_headers_complete()
        if self._crowded or self.gate.draining or self.parser.should_upgrade():
            self.cycle.keep_alive = False

    def _check_head(self) -> None:
        """Raise to make the parser give up a request whose head is not acceptable."""
        version, upgrade = self.parser.get_http_version(), self.parser.should_upgrade()
        head = request_head.Head(version, self.url, self.headers, upgrade)
        refusal = request_head.first_complaint(head, self.limits)
        if len(self.pipeline) >= self.limits.max_pipelined:
            refusal = Refusal(503, "too many requests that wait for the answers before them")
        if refusal is not None:
            self._refusal = refusal
            raise ValueError(refusal.sentence)

    def _count(self, size: int) -> None:
        """Count the bytes of a request that is not whole, and give it up where few are its body."""
        self._fed_bytes += size
        around = self._fed_bytes - self._body_bytes
        if around > self.limits.max_header_bytes + CHUNK_BYTES * self._body_bytes:
            self._refuse(*request_head.too_long(self.limits))

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body, if the process can hold it."""
        self._body_bytes += len(body)
        if self.cycle.response_complete:
            return
        if not self.held.take(len(body)):
            self._refusal = Refusal(503, "the bodies of other requests fill the memory; try again")
            raise ValueError(self._refusal.sentence)
        self._mine_of_held += len(body)
        super().on_body(body)

    def _give_back(self) -> None:
        self.held.give_back(self._mine_of_held)
        self._mine_of_held = 0

    def on_message_complete(self) -> None:
        """Stop the clock: the request is here."""
        self._receiving = False
        self._disarm()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are not an acceptable request in the form of every other error."""
        del msg
        overloaded = self._refusal.status == UNAVAILABLE
        self.metrics.rejected("Overloaded" if overloaded else "BadBytes")
        self._refuse(*self._refusal)

    def on_response_complete(self) -> None:
        """Start the next request's turn, or say the last words that waited for this answer."""
        is_last = not self.pipeline
        if is_last:
            self._give_back()
        super().on_response_complete()
        if is_last and self._farewell is not None and not self.transport.is_closing():
            self.transport.write(self._farewell)
            self.transport.close()

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
            seconds = self.limits.receive_seconds
            self._refuse(408, f"the request took over {seconds:g} s to arrive")

    def _refuse(self, status: int, sentence: str) -> None:
        """Answer, after what is owed to the requests before, and close."""
        words = _error_bytes(status, sentence)
        in_body = self._receiving and not self._in_head
        if in_body and self.pipeline:
            self.pipeline.popleft()  # the refused one is the last
            self._farewell = words
            return
        cycle = self._current()
        answering = cycle is not None and not cycle.response_complete
        if answering and not in_body:
            self._farewell = words
            return
        begun = in_body and cycle is not None and cycle.response_started
        if not begun and not self.transport.is_closing():
            self.transport.write(words)
        self.transport.close()


def _error_bytes(status: int, sentence: str) -> bytes:
    body = http_errors.body(sentence)
    retry = b"retry-after: 1\r\n" if status == UNAVAILABLE else b""
    head = b"content-type: application/json\r\ncontent-length: %d\r\n%bconnection: close\r\n\r\n"
    return STATUS_LINE[status] + head % (len(body), retry) + body


async def _turn_away(_: Scope, __: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    body = http_errors.body("too many connections; try again")
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"retry-after", b"1"),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})
