"""One call of gRPC: what its headers ask for, its message, and what the methods are to the transport."""

import re
import struct
from asyncio import Task, TimerHandle
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from modelyard_serving import packing
from modelyard_serving.grpc import status as grpc_status
from modelyard_serving.grpc.http2_answers import Stream
from modelyard_serving.grpc.http2_headers import Head
from modelyard_serving.grpc.status import Refusal, Status

PREFIX = struct.Struct(">BI")
"""Before every message: whether it is packed, and its length."""
UNKNOWN = -1
CONTENT_TYPES = re.compile(rb"application/grpc(\+proto)?( *;.*)?")
PACKINGS = (b"gzip", b"deflate")
TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])")
SECONDS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
ONE_TIME = (b"x-request-id", b"traceparent")
"""Headers that are never the same twice."""


class Sink(Protocol):
    """Where a call's answer goes."""

    def push_message(self, call: "Call", message: bytes) -> None:
        """Send one of several messages."""

    def answer_counted(self, call: "Call", message: bytes) -> None:
        """Send the answer of a call whose method needs not be told how it ended."""

    def run(self, call: "Call", work: Coroutine[Any, Any, bytes]) -> None:
        """Answer a call with what its work brings."""

    def flush(self) -> None:
        """Let everything that was sent leave now."""

    def end_call(self, call: "Call", status: Status, sentence: str) -> None:
        """Send no more."""


class Method(Protocol):
    """What answers the calls of one path."""

    @property
    def is_open(self) -> bool:
        """Whether it needs no key, and is answered beyond the limit of connections."""

    def start(self, call: "Call") -> Coroutine[Any, Any, bytes] | bytes | None:
        """Return the answer's message, or what brings it; None if messages will be pushed.

        Raises:
            ModelyardError, CallFailed: the call ends with this.
        """

    def waits(self, call: "Call") -> None:
        """Take note that a call has become a task."""

    def over(self, call: "Call", status: Status) -> None:
        """Take note that a call has ended, in this way; told once for each that was begun."""


@dataclass(frozen=True, slots=True)
class CallHead:
    """What the headers of a call say."""

    method: Method | None
    refusal: Refusal | None
    """The answer, where the headers are enough to refuse the call."""
    timeout: float | None
    packing: bytes
    metadata: Mapping[bytes, bytes]
    content_length: int | None
    reason: str = ""
    """Of the refusal, in one word for the metrics, where nobody else counts it."""

    @property
    def is_lasting(self) -> bool:
        """Whether another call may well have the same headers."""
        return not any(name in self.metadata for name in ONE_TIME)


@dataclass(slots=True, eq=False, kw_only=True)
class Call(Stream):
    """A call from its headers to the end of its answer."""

    head: CallHead
    sink: Sink
    begun: float
    """When its headers came, by the performance counter."""
    limit: int
    """Bytes that its message may have, packed and unpacked."""
    pieces: list[bytes] = field(default_factory=list)
    size: int = 0
    """Bytes that came, the prefix among them."""
    expected: int = UNKNOWN
    """Bytes that are to come, the prefix among them."""
    is_packed: bool = False
    held: int = 0
    """Bytes that are kept for it, and count as such."""
    is_opened: bool = False
    """Messages have been pushed."""
    headers: bytes = b""
    """A block of what the answer begins with, after the usual headers."""
    reason: str = ""
    """Why it failed, in one word for the metrics, where that says more than the status."""
    is_over: bool = False
    """The method knows how it ended."""
    work: Task[None] | None = None
    timer: TimerHandle | None = None
    stuck_at: tuple[int, float] = (0, 0.0)
    """How much of the answer waited for a window when that was looked at, and since when."""

    def message(self) -> bytes:
        """Return the message, unpacked; callable from any thread.

        Raises:
            TooLarge: it is over the limit when unpacked.
            InvalidRequest: it cannot be unpacked.
        """
        whole = self.pieces[0] if len(self.pieces) == 1 else b"".join(self.pieces)
        message = whole[PREFIX.size :]
        if not self.is_packed:
            return message
        return packing.unpack(self.head.packing.decode(), message, self.limit)

    @property
    def message_bytes(self) -> int:
        """The size of the message, at most."""
        return self.limit if self.is_packed else self.size


def interpret(head: Head, methods: Mapping[bytes, Method]) -> CallHead:
    """Return what the headers of a request ask for."""
    fields = head.fields
    method = methods.get(head.path)
    timeout: float | None = None
    refusal = _refusal(head)
    if refusal is None and method is None:
        sentence = f"there is no method {head.path.decode(errors='replace')}"
        refusal = grpc_status.refusal(Status.UNIMPLEMENTED, sentence)
    if refusal is None and b"grpc-timeout" in fields:
        timeout = _seconds(fields[b"grpc-timeout"])
        if timeout is None:
            sentence = "grpc-timeout is no number of hours, minutes, seconds or parts of them"
            refusal = grpc_status.refusal(Status.INTERNAL, sentence)
    packing_name = fields.get(b"grpc-encoding", b"identity")
    packed = packing_name if packing_name in PACKINGS else b""
    return CallHead(method, refusal, timeout, packed, fields, head.content_length)


def _refusal(head: Head) -> Refusal | None:
    if head.method != b"POST":
        return grpc_status.refusal_over_http(405, "gRPC is asked by POST; HTTP has its own port")
    if not CONTENT_TYPES.fullmatch(head.fields.get(b"content-type", b"")):
        return grpc_status.refusal_over_http(415, "content-type is not application/grpc+proto")
    if b"te" not in head.fields:
        sentence = "the header te: trailers is missing; what lost it may lose the status too"
        return grpc_status.refusal(Status.INTERNAL, sentence)
    encoding = head.fields.get(b"grpc-encoding", b"identity")
    if encoding != b"identity" and encoding not in PACKINGS:
        sentence = f"grpc-encoding {encoding.decode(errors='replace')!r} is not gzip or deflate"
        return grpc_status.refusal(Status.UNIMPLEMENTED, sentence)
    return None


def _seconds(text: bytes) -> float | None:
    found = TIMEOUT.fullmatch(text)
    return None if found is None else int(found[1]) * SECONDS[found[2]]
