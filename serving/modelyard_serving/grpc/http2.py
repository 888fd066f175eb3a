"""The server's side of one HTTP/2 connection (RFC 9113), without a socket.

Bytes go in with `receive`; what is to be sent gathers in `out`.  A subclass says what happens when
a request begins, goes on, ends, or is taken back, and answers with `answer` or its parts.

    stream:  idle ──HEADERS──► open ──END_STREAM──► half-closed ──answered──► closed
                                │                        │
                                └── RST_STREAM, answered ┴──────────────────► closed

Everything that a peer can make this side keep or do is bounded: the streams at a time, a block of
headers, the frames that lead nowhere, and through the windows what is sent before it is read.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from modelyard_serving.grpc import http2_frames as frames
from modelyard_serving.grpc.http2_answers import LEAVING, Answers, Stream
from modelyard_serving.grpc.http2_frames import Code, ConnectionFault, Setting, StreamFault
from modelyard_serving.grpc.http2_headers import (
    FLOOD,
    HeaderBlocks,
    Malformed,
    Oversized,
    check_trailers,
)

MAX_STREAMS = 128
CONNECTION_WINDOW = 16 << 20
"""What all streams together may send before it is acknowledged, which is at once."""
IDLE_FRAMES = 1000
"""Frames that lead nowhere (pings, resets, settings, empty data) in so many seconds."""
IDLE_SECONDS = 10.0
IDLE_PER_ANSWER = 10
"""How many of them one answered request makes up for."""
MAX_CONTINUATIONS = 32
REMEMBERED_GAPS = 16
NUMBER_BYTES = 4
PRIORITY_BYTES = 5
PING_BYTES = 8

S = TypeVar("S", bound=Stream)


@dataclass(slots=True)
class _Block:
    """A block of headers that goes on in CONTINUATION frames."""

    stream: int
    flags: int
    data: bytearray
    frames: int = 0


class Connection(Answers[S], ABC):
    """One connection; `failed` tells that nothing more can come of it."""

    def __init__(
        self, blocks: HeaderBlocks[Any], max_header_bytes: int, now: Callable[[], float]
    ) -> None:
        super().__init__()
        self.failed = False
        self.greeted = False
        """The client has said that it speaks HTTP/2."""
        self._blocks = blocks
        self._max_header_bytes = max_header_bytes
        self._now = now
        self._rest = b""
        self._settled = False
        self._block: _Block | None = None
        self._gaps: list[range] = []
        """Numbers that were jumped over, and so never were streams."""
        self._unacknowledged = 0
        self._strain = 0
        self._strained_since = 0.0
        ours = {
            Setting.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
            Setting.MAX_HEADER_LIST_SIZE: max_header_bytes,
        }
        self.out.append(frames.settings(ours))
        self.out.append(frames.window_update(0, CONNECTION_WINDOW - frames.FIRST_WINDOW))

    @abstractmethod
    def make(self, number: int, window_out: int, block: bytes) -> S:
        """Return the stream of a request that begins with this block, oversized or not.

        Raises:
            Malformed: the block is no request.
            ConnectionFault: it cannot be read at all.
        """

    @abstractmethod
    def began(self, stream: S) -> None:
        """Take a new request, without its body."""

    @abstractmethod
    def came(self, stream: S, data: bytes) -> None:
        """Take a piece of a body."""

    @abstractmethod
    def ended(self, stream: S) -> None:
        """Take note that the request is here as a whole."""

    def answered(self) -> None:
        """Make up for frames that led nowhere."""
        if self._strain:
            self._strain = max(0, self._strain - IDLE_PER_ANSWER)

    def fail(self, code: Code, sentence: str) -> None:
        """Break off the connection."""
        if not self.failed:
            self.failed = True
            self.out.append(frames.goaway(self._highest, code, sentence))
            self.abandon()

    def receive(self, data: bytes) -> None:
        """Take bytes as they come."""
        try:
            self._read(self._rest + data if self._rest else data)
        except ConnectionFault as fault:
            self.fail(fault.code, str(fault))

    def _read(self, data: bytes) -> None:
        at = 0 if self.greeted else self._read_preface(data)
        end = len(data)
        while end - at >= frames.HEAD_BYTES and self.greeted and not self.failed:
            high, low, kind, flags, number = frames.unpack_head(data, at)
            size = high << 16 | low
            if size > frames.LARGEST_FRAME:
                raise ConnectionFault(Code.FRAME_SIZE_ERROR, "a frame is too large")
            start = at + frames.HEAD_BYTES
            if end - start < size:
                break
            at = start + size
            try:
                self._take(kind, flags, number & frames.STREAM_BITS, data[start:at])
            except StreamFault as fault:
                self._strained()
                self.reset(fault.stream, fault.code)
        self._rest = data[at:]

    def _read_preface(self, data: bytes) -> int:
        preface = frames.PREFACE
        if not preface.startswith(data[: len(preface)]):
            raise ConnectionFault(Code.PROTOCOL_ERROR, "this port speaks HTTP/2 without an upgrade")
        self.greeted = len(data) >= len(preface)
        return len(preface) if self.greeted else 0

    def _take(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        block = self._block
        if block is not None and (kind != frames.CONTINUATION or number != block.stream):
            raise ConnectionFault(Code.PROTOCOL_ERROR, "a block of headers is interrupted")
        if not self._settled and kind != frames.SETTINGS:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "the first frame is not SETTINGS")
        if kind < len(self._TAKERS):
            self._TAKERS[kind](self, flags, number, payload)

    def _take_data(self, flags: int, number: int, payload: bytes) -> None:
        size = len(payload)
        self._unacknowledged += size
        if self._unacknowledged > CONNECTION_WINDOW // 4:
            self.out.append(frames.window_update(0, self._unacknowledged))
            self._unacknowledged = 0
        stream = self.streams.get(number)
        if stream is None or stream.ended:
            self._check_under_way(number)
            return
        stream.window_in -= size
        if stream.window_in < 0:
            raise StreamFault(number, Code.FLOW_CONTROL_ERROR)
        if flags & frames.PADDED:
            payload = frames.unpad(payload)
            self.allow(stream, stream.window_in + size - len(payload))
        if payload:
            self._take_piece(stream, payload)
        elif not flags & frames.END_STREAM:
            self._strained()
        if flags & frames.END_STREAM and not stream.closed:
            self._take_end(stream)

    def _take_piece(self, stream: S, payload: bytes) -> None:
        stream.received += len(payload)
        expected = stream.content_length
        if expected is not None and stream.received > expected:
            raise StreamFault(stream.id, Code.PROTOCOL_ERROR)
        self.came(stream, payload)

    def _take_end(self, stream: S) -> None:
        expected = stream.content_length
        if expected is not None and stream.received != expected:
            raise StreamFault(stream.id, Code.PROTOCOL_ERROR)
        stream.ended = True
        self.ended(stream)

    def _check_under_way(self, number: int) -> None:
        """Return if data may have been under way when its stream came to an end."""
        self._check_not_idle(number)
        if number not in self._resets:
            raise StreamFault(number, Code.STREAM_CLOSED)

    def _check_not_idle(self, number: int) -> None:
        if number == 0 or number > self._highest:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "a frame for a stream that is not open")

    def _take_headers(self, flags: int, number: int, payload: bytes) -> None:
        if flags & frames.PADDED:
            payload = frames.unpad(payload)
        if flags & frames.WITH_PRIORITY:
            payload = _without_priority(number, payload)
        if number % 2 == 0:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "a client's streams have odd numbers")
        if flags & frames.END_HEADERS:
            self._take_block(flags, number, payload)
        else:
            self._block = _Block(number, flags, bytearray(payload))

    def _take_continuation(self, flags: int, number: int, payload: bytes) -> None:
        block = self._block
        if block is None:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "CONTINUATION without a beginning")
        block.data += payload
        block.frames += 1
        most = self._max_header_bytes * FLOOD
        if block.frames > MAX_CONTINUATIONS or len(block.data) > most:
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "too many headers")
        if flags & frames.END_HEADERS:
            self._block = None
            self._take_block(block.flags, number, bytes(block.data))

    def _take_block(self, flags: int, number: int, block: bytes) -> None:
        if number > self._highest:
            self._take_request(flags, number, block)
            return
        stream = self.streams.get(number)
        try:
            fields = self._blocks.fields(block)  # even if unwanted: the compression goes on
        except Oversized as error:
            raise StreamFault(number, Code.ENHANCE_YOUR_CALM) from error
        if stream is None or stream.ended:
            self._take_late_block(number)
            return
        try:
            check_trailers(fields)
        except Malformed as error:
            raise StreamFault(number, Code.PROTOCOL_ERROR) from error
        if not flags & frames.END_STREAM:
            raise StreamFault(number, Code.PROTOCOL_ERROR)
        self._take_end(stream)

    def _take_request(self, flags: int, number: int, block: bytes) -> None:
        if number > self._highest + 2:
            self._gaps.append(range(self._highest + 1, number))
            del self._gaps[:-REMEMBERED_GAPS]
        self._highest = number
        try:
            stream = self.make(number, self._stream_window_out, block)
        except Malformed as error:
            raise StreamFault(number, Code.PROTOCOL_ERROR) from error
        if self.leaving or len(self.streams) >= MAX_STREAMS:
            raise StreamFault(number, Code.REFUSED_STREAM)
        self.streams[number] = stream
        self.began(stream)
        if flags & frames.END_STREAM and not stream.closed:
            self._take_end(stream)

    def _take_late_block(self, number: int) -> None:
        if number in self._resets:
            return
        if any(number in gap for gap in self._gaps):
            raise ConnectionFault(Code.PROTOCOL_ERROR, "a stream has a lower number than another")
        raise ConnectionFault(Code.STREAM_CLOSED, "headers for a stream that is over")

    def _take_priority(self, flags: int, number: int, payload: bytes) -> None:
        del flags
        if number == 0:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "PRIORITY without a stream")
        if len(payload) != PRIORITY_BYTES:
            raise StreamFault(number, Code.FRAME_SIZE_ERROR)
        _without_priority(number, payload)

    def _take_reset(self, flags: int, number: int, payload: bytes) -> None:
        del flags
        _check_size(payload, NUMBER_BYTES)
        self._check_not_idle(number)
        self._strained()
        stream = self.streams.get(number)
        if stream is not None:
            self._forget(stream)
            self.gone(stream)

    def _take_settings(self, flags: int, number: int, payload: bytes) -> None:
        if number != 0:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "SETTINGS for a stream")
        if flags & frames.ACK:
            _check_size(payload, 0)
            return
        self._settled = True
        self._strained()
        # First of all, since what a new window lets through must not come before it.
        self.out.append(frames.frame(frames.SETTINGS, frames.ACK, 0))
        for setting, value in frames.pairs(payload):
            self._take_setting(setting, value)

    def _take_setting(self, setting: int, value: int) -> None:
        if setting == Setting.INITIAL_WINDOW_SIZE:
            self._take_first_window(value)
        elif setting == Setting.MAX_FRAME_SIZE:
            if not frames.LARGEST_FRAME <= value < 1 << 24:
                raise ConnectionFault(Code.PROTOCOL_ERROR, "an impossible frame size")
        elif setting == Setting.ENABLE_PUSH and value > 1:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "an impossible ENABLE_PUSH")

    def _take_first_window(self, value: int) -> None:
        if value > frames.LARGEST_WINDOW:
            raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "an impossible window")
        change = value - self._stream_window_out
        self._stream_window_out = value
        for stream in list(self.streams.values()):
            if not self._widen_stream(stream, change):
                raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "an impossible window")

    def _take_push_promise(self, flags: int, number: int, payload: bytes) -> None:
        del flags, number, payload
        raise ConnectionFault(Code.PROTOCOL_ERROR, "a client does not push")

    def _take_ping(self, flags: int, number: int, payload: bytes) -> None:
        if number != 0:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "PING for a stream")
        _check_size(payload, PING_BYTES)
        if not flags & frames.ACK:
            self._strained()
            self.out.append(frames.frame(frames.PING, frames.ACK, 0, payload))
        elif payload == LEAVING:
            self.leave()

    def _take_goaway(self, flags: int, number: int, payload: bytes) -> None:
        del flags
        if number != 0:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "GOAWAY for a stream")
        if len(payload) < PING_BYTES:
            raise ConnectionFault(Code.FRAME_SIZE_ERROR, "GOAWAY of a broken length")
        # The client closes when it has its answers.  To close before it does would take answers
        # away from it: bytes that come after a close make the kernel reset the connection.

    def _take_window_update(self, flags: int, number: int, payload: bytes) -> None:
        del flags
        _check_size(payload, NUMBER_BYTES)
        increment = frames.number(payload) & frames.STREAM_BITS
        if number == 0:
            if increment == 0:
                raise ConnectionFault(Code.PROTOCOL_ERROR, "an empty WINDOW_UPDATE")
            self._widen(increment)
            return
        self._check_not_idle(number)
        if increment == 0:
            raise StreamFault(number, Code.PROTOCOL_ERROR)
        stream = self.streams.get(number)
        if stream is not None and not self._widen_stream(stream, increment):
            raise StreamFault(number, Code.FLOW_CONTROL_ERROR)

    def _strained(self) -> None:
        """Count a frame that led nowhere; too many in too short a time end the connection."""
        if self._strain == 0:
            self._strained_since = self._now()
        self._strain += 1
        if self._strain > IDLE_FRAMES:
            if self._now() - self._strained_since < IDLE_SECONDS:
                raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "too many frames that lead nowhere")
            self._strain = 0

    # By the kind of the frame; not bound, since a connection that knows itself is never freed.
    _TAKERS = (
        _take_data,
        _take_headers,
        _take_priority,
        _take_reset,
        _take_settings,
        _take_push_promise,
        _take_ping,
        _take_goaway,
        _take_window_update,
        _take_continuation,
    )


def _check_size(payload: bytes, size: int) -> None:
    if len(payload) != size:
        raise ConnectionFault(Code.FRAME_SIZE_ERROR, "a frame of a broken length")


def _without_priority(number: int, payload: bytes) -> bytes:
    """Return what follows a priority, which nothing is made of."""
    if len(payload) < PRIORITY_BYTES:
        raise ConnectionFault(Code.FRAME_SIZE_ERROR, "a priority of a broken length")
    if frames.number(payload[:NUMBER_BYTES]) & frames.STREAM_BITS == number:
        raise ConnectionFault(Code.PROTOCOL_ERROR, "a stream depends on itself")
    return payload[PRIORITY_BYTES:]
