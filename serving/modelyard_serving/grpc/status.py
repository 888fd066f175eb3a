"""What a call ends with over gRPC: one table from errors to status codes, and the blocks that say it.

HTTP answers the same failures with the codes of `http_errors.STATUS`; both are counted under those.
"""

from dataclasses import dataclass
from enum import IntEnum

from hpack.hpack import encode_integer

from modelyard_core.errors import ModelyardError
from modelyard_serving.errors import (
    InvalidRequest,
    ModelFailed,
    NotReady,
    NotServed,
    Overloaded,
    TooLarge,
    UnsupportedEncoding,
)

MAX_SENTENCE_BYTES = 1024
STATUS_200 = b"\x88"
LENGTH_BITS = 7
BUG = "internal error"
"""What clients are told of an error that is none of theirs, nor of the model's."""
PLAIN = frozenset(range(0x20, 0x7F)) - {ord("%")}
"""Bytes of a sentence that need no escape."""


class Status(IntEnum):
    """The codes of gRPC that this server uses."""

    OK = 0
    CANCELLED = 1
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    RESOURCE_EXHAUSTED = 8
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


STATUS: dict[type[ModelyardError], Status] = {
    InvalidRequest: Status.INVALID_ARGUMENT,
    NotServed: Status.NOT_FOUND,
    TooLarge: Status.RESOURCE_EXHAUSTED,
    UnsupportedEncoding: Status.UNIMPLEMENTED,
    ModelFailed: Status.INTERNAL,
    NotReady: Status.UNAVAILABLE,
    Overloaded: Status.UNAVAILABLE,
}

HTTP_CODES: dict[Status, int] = {
    Status.OK: 200,
    Status.CANCELLED: 499,
    Status.INVALID_ARGUMENT: 400,
    Status.DEADLINE_EXCEEDED: 504,
    Status.NOT_FOUND: 404,
    Status.RESOURCE_EXHAUSTED: 413,
    Status.UNIMPLEMENTED: 501,
    Status.INTERNAL: 500,
    Status.UNAVAILABLE: 503,
    Status.UNAUTHENTICATED: 401,
}
"""The codes under which both transports count."""


class CallFailed(Exception):
    """A call ends with another status than OK, for a reason that only gRPC knows."""

    def __init__(self, status: Status, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def of(error: Exception) -> tuple[Status, str]:
    """Return what to tell the client of an error; what is not ours is a bug and stays here."""
    if isinstance(error, CallFailed):
        return error.status, str(error)
    if isinstance(error, ModelyardError):
        return STATUS[type(error)], str(error)
    return Status.INTERNAL, BUG


def escape(sentence: str) -> bytes:
    """Return a sentence as `grpc-message` carries it.

    >>> escape("50 % ü")
    b'50 %25 %C3%BC'
    """
    data = sentence.encode(errors="replace")[:MAX_SENTENCE_BYTES]
    return b"".join(bytes((b,)) if b in PLAIN else b"%%%02X" % b for b in data)


def field(name: bytes, value: bytes) -> bytes:
    """Return a header field as it is, for a block that needs no table."""
    lengths = (bytes(encode_integer(len(text), LENGTH_BITS)) for text in (name, value))
    return b"\x00" + next(lengths) + name + next(lengths) + value


CONTENT_TYPE = field(b"content-type", b"application/grpc")
ANSWER = STATUS_200 + CONTENT_TYPE
"""The block before an answer's messages."""
ENDED = field(b"grpc-status", b"0")
"""The block after the messages of a call that went well."""
ACCEPTED = field(b"grpc-accept-encoding", b"identity,gzip,deflate")


def trailers(status: Status, sentence: str) -> bytes:
    """Return the block that ends an answer which has begun."""
    return field(b"grpc-status", b"%d" % status) + field(b"grpc-message", escape(sentence))


def only_trailers(status: Status, sentence: str) -> bytes:
    """Return the block that is a whole answer; it also says which packings are understood."""
    return ANSWER + ACCEPTED + trailers(status, sentence)


@dataclass(frozen=True, slots=True)
class Refusal:
    """The whole answer to a call that is refused for what its headers say."""

    block: bytes
    body: bytes = b""
    trailers: bytes = b""


def refusal(status: Status, sentence: str) -> Refusal:
    """Return the refusal of a call."""
    return Refusal(only_trailers(status, sentence))


def refusal_over_http(code: int, sentence: str) -> Refusal:
    """Return the refusal of what is no call of gRPC at all, for a client that does not know gRPC."""
    head = b"\x08\x03%d" % code + field(b"content-type", b"text/plain; charset=utf-8")
    return Refusal(head, sentence.encode(), trailers(Status.INVALID_ARGUMENT, sentence))
