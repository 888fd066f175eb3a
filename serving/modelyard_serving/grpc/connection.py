"""The calls of one connection: each is read, started, answered or refused, within every limit.

A call that can be answered at once is, before the next frame is looked at.  A method that takes
longer becomes a task, and the connection goes on.
"""

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Coroutine, Generator
from functools import partial
from types import coroutine
from typing import Any

from modelyard_serving.access import HEADER, REFUSAL
from modelyard_serving.clock import monotonic, perf_counter
from modelyard_serving.grpc import status as grpc_status
from modelyard_serving.grpc.calls import PREFIX, UNKNOWN, Call, CallHead, interpret
from modelyard_serving.grpc.http2 import Connection
from modelyard_serving.grpc.http2_frames import Code
from modelyard_serving.grpc.http2_headers import Head, HeaderBlocks, Oversized
from modelyard_serving.grpc.shared import Shared
from modelyard_serving.grpc.status import Refusal, Status
from modelyard_serving.settings import Limits

logger = logging.getLogger(__name__)

NO_ROOM = "as many bytes wait here as may wait; try again"
UNWANTED_BYTES = 16 * 1024
"""How much of the body of a refused call is taken before it is broken off."""
CROWDED = "too many connections; try again"


class Calls(Connection[Call]):
    """A connection that knows calls, and no transport."""

    def __init__(self, shared: Shared[Any], loop: asyncio.AbstractEventLoop) -> None:
        limits = shared.limits
        # Nothing of a connection knows the connection: what knows itself is not freed at once.
        self._requests = HeaderBlocks(
            limits.max_header_bytes, limits.max_headers, partial(_interpret, shared)
        )
        super().__init__(self._requests, limits.max_header_bytes, monotonic)
        self._shared = shared
        self._loop = loop
        self._generation = shared.access.generation
        self._crowded = False
        self._unarmed: list[Call] = []
        """Calls that came with a deadline, in what is being read."""

    @abstractmethod
    def flush(self) -> None:
        """Send what has gathered."""

    @abstractmethod
    def flush_soon(self) -> None:
        """Send what has gathered at the end of this turn."""

    def make(self, number: int, window_out: int, block: bytes) -> Call:
        """Return the call of a block of headers."""
        if self._generation != self._shared.access.generation:
            self._generation = self._shared.access.generation
            self._requests.forget()
        try:
            head = self._requests.request(block)
        except Oversized:
            head = _oversized(self._shared.limits)
        return Call(
            number,
            window_out,
            head.content_length,
            head=head,
            sink=self,
            begun=perf_counter(),
            limit=self._shared.limits.max_body_bytes,
        )

    def began(self, stream: Call) -> None:
        """Begin a call, unless its headers are enough to refuse it: that is said when it ends."""
        head = stream.head
        if head.method is None or head.refusal is not None:
            stream.is_over = True
            if head.reason:
                self._shared.rejected(head.reason)
        elif self._crowded and not head.method.is_open:
            stream.reason = "TooManyConnections"
            self.end_call(stream, Status.UNAVAILABLE, CROWDED)
        elif head.timeout is not None:
            self._unarmed.append(stream)

    def came(self, stream: Call, data: bytes) -> None:
        """Keep a piece of a message."""
        size = len(data)
        stream.size += size
        if stream.head.refusal is not None:
            if stream.size > UNWANTED_BYTES:
                self._refuse(stream, stream.head.refusal)
            return
        stream.pieces.append(data)
        if not self._shared.held.take(size):
            self.end_call(stream, Status.UNAVAILABLE, NO_ROOM)
            return
        stream.held += size
        if stream.expected == UNKNOWN:
            self._read_prefix(stream)
        elif stream.size > stream.expected:
            self._refuse_second(stream)

    def _read_prefix(self, call: Call) -> None:
        if call.size < PREFIX.size:
            return
        start = b"".join(call.pieces)
        call.pieces = [start]
        packed, length = PREFIX.unpack_from(start)
        if packed > 1 or (packed and not call.head.packing):
            sentence = "the message says that it is packed, the headers do not say how"
            self.end_call(call, Status.INTERNAL, sentence)
        elif length > call.limit:
            sentence = f"the message is over the limit of {call.limit} bytes"
            self.end_call(call, Status.RESOURCE_EXHAUSTED, sentence)
        elif call.size > PREFIX.size + length:
            self._refuse_second(call)
        else:
            call.is_packed = bool(packed)
            call.expected = PREFIX.size + length
            # With room for the beginning of one that must not follow, so that it can be refused.
            self.allow(call, call.expected - call.size + PREFIX.size)

    def _refuse_second(self, call: Call) -> None:
        sentence = "more than one message, where the method takes one"
        self.end_call(call, Status.UNIMPLEMENTED, sentence)

    def ended(self, stream: Call) -> None:
        """Start a call whose message is here."""
        if stream.head.refusal is not None:
            self._refuse(stream, stream.head.refusal)
        elif stream.size == stream.expected:
            self._start(stream)
        elif stream.size == 0:
            self.end_call(stream, Status.UNIMPLEMENTED, "no message, where the method takes one")
        else:
            self.end_call(stream, Status.INTERNAL, "the message is cut short")

    def _refuse(self, call: Call, refusal: Refusal) -> None:
        if refusal.body:
            self.answer(call, refusal.block, refusal.body, refusal.trailers)
        else:
            self.end(call, refusal.block)

    def gone(self, stream: Call) -> None:
        """Stop what nobody waits for."""
        self._tell(stream, Status.CANCELLED)

    def _start(self, call: Call) -> None:
        assert call.head.method is not None
        try:
            begun = call.head.method.start(call)
        except Exception as error:  # noqa: BLE001 - a bug ends its call, not the others'
            self._failed(call, error)
            return
        if isinstance(begun, bytes):
            self._answer(call, begun)
        elif begun is not None:
            self.run(call, begun)

    def run(self, call: Call, work: Coroutine[Any, Any, bytes]) -> None:
        """Answer a call with what its work brings: at once, if the work waits for nothing."""
        try:
            waited = work.send(None)
        except StopIteration as done:
            self._answer(call, done.value)
        except Exception as error:  # noqa: BLE001 - as above
            self._failed(call, error)
        else:
            call.work = self._loop.create_task(self._finish(call, work, waited))
            assert call.head.method is not None
            call.head.method.waits(call)

    async def _finish(self, call: Call, work: Coroutine[Any, Any, bytes], waited: object) -> None:
        try:
            message = await _resumed(work, waited)
        except Exception as error:  # noqa: BLE001 - as above
            self._failed(call, error)
        else:
            self._answer(call, message)
        self.flush_soon()

    def _answer(self, call: Call, message: bytes) -> None:
        if call.closed:
            return
        self._tell(call, Status.OK)
        self._send(call, message)

    def answer_counted(self, call: Call, message: bytes) -> None:
        """Send the answer of a call whose method needs not be told how it ended."""
        if call.timer is not None:
            call.timer.cancel()
        call.is_over = True
        self._send(call, message)

    def _send(self, call: Call, message: bytes) -> None:
        body = PREFIX.pack(0, len(message)) + message
        self.answer(call, grpc_status.ANSWER + call.headers, body, grpc_status.ENDED)
        if not call.closed:
            self._keep(call, len(body))

    def _keep(self, call: Call, size: int) -> None:
        """Count an answer that waits for a window."""
        self._give_back(call)
        if self._shared.held.take(size):
            call.held = size
        else:
            self.reset(call.id, Code.ENHANCE_YOUR_CALM)

    def _failed(self, call: Call, error: Exception) -> None:
        status, sentence = grpc_status.of(error)
        call.reason = type(error).__name__
        if sentence == grpc_status.BUG:
            logger.error("a call failed", exc_info=error)
        if not call.closed:
            self.end_call(call, status, sentence)

    def push_message(self, call: Call, message: bytes) -> None:
        """Send one of several messages."""
        if not call.is_opened:
            call.is_opened = True
            self.open(call, grpc_status.ANSWER)
        self.push(call, PREFIX.pack(0, len(message)) + message)
        self.flush_soon()

    def end_call(self, call: Call, status: Status, sentence: str) -> None:
        """End a call with a status and its reason."""
        self._tell(call, status)
        if call.is_opened:
            self.finish(call, b"", grpc_status.trailers(status, sentence))
        else:
            self.end(call, grpc_status.only_trailers(status, sentence))
        self.flush_soon()

    def arm(self) -> None:
        """Set the clocks of the calls that came with a deadline and are not answered yet."""
        for call in self._unarmed:
            if call.is_over:
                continue
            assert call.head.timeout is not None
            left = call.begun + call.head.timeout - perf_counter()
            if left > 0:
                call.timer = self._loop.call_later(left, self._expire, call)
            else:
                self._expire(call)
        self._unarmed.clear()

    def _expire(self, call: Call) -> None:
        if not call.is_over:
            self.end_call(call, Status.DEADLINE_EXCEEDED, "the deadline of the call has passed")

    def sweep(self, now: float) -> None:
        """End calls that take too long to arrive, or whose answer nobody takes."""
        limit = self._shared.limits.receive_seconds
        for call in list(self.streams.values()):
            if not call.ended and perf_counter() - call.begun > limit:
                sentence = f"the request took over {limit:g} s to arrive"
                self.end_call(call, Status.DEADLINE_EXCEEDED, sentence)
            elif not call.unsent or len(call.unsent) != call.stuck_at[0]:
                call.stuck_at = (len(call.unsent), now)
            elif now - call.stuck_at[1] > limit:
                self.reset(call.id, Code.CANCEL)

    def _tell(self, call: Call, status: Status) -> None:
        """Tell the method how a call ended, once, and stop what works for it."""
        if call.is_over:
            return
        call.is_over = True
        if call.timer is not None:
            call.timer.cancel()
        if call.work is not None and status is not Status.OK:
            call.work.cancel()
        assert call.head.method is not None
        call.head.method.over(call, status)

    def _forget(self, stream: Call) -> None:
        super()._forget(stream)
        self._give_back(stream)

    def _give_back(self, call: Call) -> None:
        self._shared.held.give_back(call.held)
        call.held = 0
        call.pieces.clear()


def _interpret(shared: Shared[Any], head: Head) -> tuple[CallHead, bool]:
    """Return what the headers ask for, and whether that is worth remembering."""
    found = interpret(head, shared.methods)
    needs_key = found.method is not None and not found.method.is_open
    if needs_key and not shared.access.allows(found.metadata.get(HEADER)):
        refusal = grpc_status.refusal(Status.UNAUTHENTICATED, REFUSAL)
        found = CallHead(None, refusal, None, b"", {}, found.content_length, "Unauthorized")
    return found, found.is_lasting


def _oversized(limits: Limits) -> CallHead:
    """Return what is done with a call of too much metadata; others of its connection go on."""
    sentence = (
        f"the metadata is over the limit of {limits.max_header_bytes} bytes and "
        f"{limits.max_headers} fields"
    )
    refusal = grpc_status.refusal(Status.RESOURCE_EXHAUSTED, sentence)
    return CallHead(None, refusal, None, b"", {}, None, "TooLarge")


@coroutine
def _resumed(work: Coroutine[Any, Any, bytes], waited: object) -> Generator[object, object, bytes]:
    """Go on with work that has been started outside of any task and waits for something."""
    while True:
        try:
            sent = yield waited
        except BaseException as error:  # noqa: BLE001 - the work hears of whatever ends it
            resume = partial(work.throw, error)
        else:
            resume = partial(work.send, sent)
        try:
            waited = resume()
        except StopIteration as done:
            message: bytes = done.value
            return message
