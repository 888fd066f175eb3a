"""One HTTP connection with a fast way for what nearly all requests are.

An inference with a plain Content-Length, and a probe, are answered from their bytes, without an
ASGI call.  All else goes on to the parser and the application, which give the same answers:

    bytes ──► head known? ──yes──► body whole? ──► coalescer ──► answer
                   │                                   │ invalid, slow, large, …
                   └──no──────────────────────────────►┴──► parser ──► application ──► answer
                                                                 (until that answer is out)
"""

from asyncio import AbstractEventLoop, TimerHandle, Transport
from typing import Any, cast

import orjson
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from modelyard_serving import wire
from modelyard_serving.access import Access
from modelyard_serving.clock import perf_counter
from modelyard_serving.coalescing import MAX_WAITING, Coalescer
from modelyard_serving.errors import NotReady
from modelyard_serving.gate import Gate
from modelyard_serving.heads import Head, Heads, Kind, without_offer
from modelyard_serving.held_bytes import HeldBytes
from modelyard_serving.http_protocol import ServingProtocol
from modelyard_serving.inference import LARGE_BODY_BYTES
from modelyard_serving.metrics import Metrics
from modelyard_serving.settings import ServeSettings

END_OF_HEAD = b"\r\n\r\n"
HEAD_END_BYTES = len(END_OF_HEAD)
BEGINNING = b"POST /v2/"
INFER = Kind.INFER
OFFERED = b"h2c"
LIVE = wire.json(orjson.dumps({"live": True}))
READY = wire.json(orjson.dumps({"ready": True}))


class HotProtocol(ServingProtocol):
    """A connection whose requests take the fast way where they can."""

    heads: Heads
    coalescer: Coalescer
    model_ready: bytes

    # A place for each of what every request touches: there are too many others for a fast dict.
    __slots__ = ("_coalescer", "_find_cut", "_is_calm", "_known", "_touched", "is_slow")

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.is_slow = False
        self._is_calm = False
        self._coalescer = self.coalescer
        self._known = self.heads.known
        self._find_cut = self.heads.find_cut
        self._held: list[bytes] = []
        self._missing = 0
        self._rest = b""
        self._touched = self._arrived = perf_counter()
        self._idle: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Take the connection; where there are too many, only the slow way knows what to do."""
        super().connection_made(transport)
        self.is_slow = self._crowded
        self._wait_idle(self.limits.keep_alive_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget what came of a request."""
        if self._idle is not None:
            self._idle.cancel()
        self._held.clear()
        self._rest = b""
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes to where they belong.

        A whole small request of a known head, on a connection where nothing else is going on, takes
        the short way; what does not change within a turn is looked at when it begins.
        """
        turn = self._coalescer
        if self._is_calm and len(turn.waiting) < MAX_WAITING:
            begin = data.find(END_OF_HEAD) + HEAD_END_BYTES
            head = data[:begin]
            found = self._known.get(head) or self._find_cut(head)
            if (
                found is not None
                and found[0].is_small
                and len(data) == begin + found[0].length
                and (turn.has_begun or self._begins_turn())
            ):
                self._touched = now = turn.began
                turn.waiting.append((self, data, begin, found[0], found[1], now))
                return
        self._is_calm = False
        self._receive(data)
        self._is_calm = self._deadline is None and not (
            self.is_slow or self._missing or self._rest or self.flow.write_paused
        )

    def _begins_turn(self) -> bool:
        """Begin a turn, unless something has changed that the long way must see."""
        turn = self._coalescer
        changed = self.gate.draining or not self.heads.are_current or not turn.is_open
        if changed or self.transport.is_closing():
            return False
        turn.begin()
        return True

    def _receive(self, data: bytes) -> None:
        if self.is_slow and not self._is_fast_again():
            self.coalescer.settle(self)
            super().data_received(self._all_before() + data)
            return
        self._touched = perf_counter()
        if self._missing:
            data = self._whole(data)
            if not data:
                return
        elif self.flow.write_paused or self._rest or self.coalescer.is_full:
            if not self._rest and self.coalescer.is_full:
                self.coalescer.wait_for_room(self._go_on)
            self._rest += data
            self.flow.pause_reading()
            return
        else:
            self._arrived = self._touched
        if self._deadline is not None:
            self._disarm()
        if not self.transport.is_closing():
            self._take(data)

    def _whole(self, data: bytes) -> bytes:
        """Return a request that came in pieces, and what came after it; nothing before it is whole."""
        self._held.append(data)
        self._missing -= len(data)
        if self._missing > 0:
            return b""
        self._missing = 0
        data = b"".join(self._held)
        self._held.clear()
        return data

    def _take(self, data: bytes) -> None:
        """Take whole requests to the coalescer, and what is none of its to the slow way."""
        for _ in range(self.limits.max_pipelined):
            begin = data.find(END_OF_HEAD) + HEAD_END_BYTES
            found = self.heads.find(data[:begin]) if begin >= HEAD_END_BYTES else None
            if found is None or self.gate.draining:
                self._pass_by(data, begin)
                return
            head, sample_id = found
            end = begin + head.length
            if head.length > LARGE_BODY_BYTES:
                self.hand_over(data)
                return
            if len(data) < end:
                self._hold(data, end)
                return
            if head.kind is INFER and self.coalescer.is_open:
                request = data if len(data) == end else data[:end]
                self.coalescer.add((self, request, begin, head, sample_id, self._arrived))
            elif not self._is_answered(head):
                self.hand_over(data)
                return
            if len(data) == end:
                return
            data = data[end:]
            self._arrived = self._touched
        self._leave(data)

    def _leave(self, data: bytes) -> None:
        """Leave what came for the next turn."""
        self._rest = data
        self._is_calm = False
        self.flow.pause_reading()
        self.loop.call_soon(self._go_on)

    def _is_answered(self, head: Head) -> bool:
        """Answer a probe, or that there is no model yet; return False where the slow way must."""
        self.coalescer.settle(self)
        if self.is_slow:
            return False
        try:
            if head.kind is INFER:
                self.gate.inference()
                return False
            if head.kind is not Kind.LIVE:
                self.gate.check_ready()
        except NotReady as error:
            # The application could say so, but would have to be imported while the model is loaded.
            self.transport.write(wire.refusal(error))
            if head.kind is INFER:
                self.metrics.rejected(type(error).__name__)
                self.metrics.answered(head.role, 503, perf_counter() - self._arrived)
            return True
        answers = {Kind.LIVE: LIVE, Kind.READY: READY, Kind.MODEL_READY: self.model_ready}
        self.transport.write(answers[head.kind])
        return True

    def _pass_by(self, data: bytes, begin: int) -> None:
        """Wait for the rest of a head that may be one of ours, and hand over all else."""
        is_cut = begin < HEAD_END_BYTES and data.startswith(BEGINNING)
        plain = without_offer(data[:begin]) if OFFERED in data[:begin] else None
        if plain is not None:
            self._leave(plain + data[begin:])
        elif is_cut and len(data) <= self.limits.max_header_bytes:
            self._hold(data, len(data) + 1)
        else:
            self.hand_over(data)

    def _hold(self, data: bytes, end: int) -> None:
        """Keep the beginning of a request until all of it is here, or its time is over."""
        self._held.append(data)
        self._missing = end - len(data)
        self._begun = True
        self._is_calm = False
        self._disarm()
        left = self._arrived + self.limits.receive_seconds - self._touched
        self._deadline = self.loop.call_later(max(left, 0), self._expire)

    def _go_on(self) -> None:
        """Take what was left of many requests in one packet, once their answers are on the way."""
        if not self._rest or self.flow.write_paused or self.transport.is_closing():
            return
        if self.coalescer.is_full:
            self.coalescer.wait_for_room(self._go_on)
            return
        rest, self._rest = self._rest, b""
        self.flow.resume_reading()
        self._touched = self._arrived = perf_counter()
        if self.is_slow:
            self.hand_over(rest)
        else:
            self._take(rest)

    def pause_writing(self) -> None:
        """Read nothing from a client that does not read."""
        self._is_calm = False
        super().pause_writing()

    def resume_writing(self) -> None:
        """Go on with a client that reads again."""
        super().resume_writing()
        if self._rest:
            self.loop.call_soon(self._go_on)

    def hand_over(self, data: bytes) -> None:
        """Let the slow way answer what begins with these bytes."""
        self.coalescer.settle(self)
        self.is_slow = True
        self._is_calm = False
        super().data_received(data)

    def _is_fast_again(self) -> bool:
        """Return whether the slow way has answered all that it got, and may be left."""
        cycle = self._current()
        answering = self.pipeline or (cycle is not None and not cycle.response_complete)
        if answering or self._receiving or self._farewell is not None:
            return False
        if self._crowded or self.gate.draining:
            return False
        self.is_slow = False
        self._unset_keepalive_if_required()
        return True

    def on_response_complete(self) -> None:
        """Begin the idle time where an answer ended."""
        self._touched = perf_counter()
        super().on_response_complete()

    def on_message_complete(self) -> None:
        """Go on with the clock where a later request has begun already."""
        super().on_message_complete()
        if self._missing:
            self._arm()

    def shutdown(self) -> None:
        """Answer what is here, and close as soon as what is coming is answered."""
        self.coalescer.settle(self)
        begun = self._all_before()
        if begun:
            self._disarm()
            self.hand_over(begun)
        super().shutdown()

    def _all_before(self) -> bytes:
        """Return the bytes that are held here; they are not any more."""
        held = b"".join((*self._held, self._rest))
        self._held.clear()
        self._missing, self._rest = 0, b""
        return held

    def _refuse(self, status: int, sentence: str) -> None:
        self.coalescer.settle(self)
        super()._refuse(status, sentence)

    def _wait_idle(self, seconds: float) -> None:
        self._idle = self.loop.call_later(seconds, self._check_idle)

    def _check_idle(self) -> None:
        """Close a connection that has been idle for long; one timer serves all its requests."""
        limit = self.limits.keep_alive_seconds
        left = self._touched + limit - perf_counter()
        cycle = self._current()
        busy = self._missing or (cycle is not None and not cycle.response_complete)
        if busy or left > 0:
            self._wait_idle(max(left, 1.0) if not busy else limit)
        else:
            self.timeout_keep_alive_handler()


def protocol_of(
    settings: ServeSettings,
    gate: Gate,
    metrics: Metrics,
    access: Access,
    coalescer: Coalescer,
    held: HeldBytes,
) -> type[HttpToolsProtocol]:
    """Return the protocol class of one server."""
    members = {
        "limits": settings.limits,
        "gate": gate,
        "held": held,
        "metrics": metrics,
        "heads": Heads(settings.model, settings.version, access, settings.limits),
        "coalescer": coalescer,
        "model_ready": wire.json(orjson.dumps({"name": settings.model, "ready": True})),
    }
    return cast("type[HttpToolsProtocol]", type("HotProtocol", (HotProtocol,), members))
