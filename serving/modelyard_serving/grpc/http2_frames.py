"""HTTP/2's frames as bytes, and the codes and numbers in them (RFC 9113, sections 4, 6 and 7).  Pure."""

import struct
from collections.abc import Iterator
from enum import IntEnum

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD_BYTES = 9
LARGEST_FRAME = 1 << 14
"""The payload that both sides take before any agreement; this server asks for no more."""
FIRST_WINDOW = (1 << 16) - 1
LARGEST_WINDOW = (1 << 31) - 1
STREAM_BITS = (1 << 31) - 1

DATA = 0
HEADERS = 1
PRIORITY = 2
RST_STREAM = 3
SETTINGS = 4
PUSH_PROMISE = 5
PING = 6
GOAWAY = 7
WINDOW_UPDATE = 8
CONTINUATION = 9

END_STREAM = 0x1
ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
WITH_PRIORITY = 0x20

_PACK = struct.Struct(">BHBBI").pack
_PAIR = struct.Struct(">HI")
_NUMBER = struct.Struct(">I")
unpack_head = struct.Struct(">BHBBI").unpack_from
"""Returns the length's first byte and its other two, the kind, the flags, and the stream."""


class Setting(IntEnum):
    """What the two sides tell each other about their limits."""

    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6


class Code(IntEnum):
    """Why a stream or a connection ends."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    ENHANCE_YOUR_CALM = 11


class ConnectionFault(Exception):
    """The peer broke the connection: nothing after this can be understood, or should be."""

    def __init__(self, code: Code, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


class StreamFault(Exception):
    """The peer broke one stream; the others go on."""

    def __init__(self, stream: int, code: Code) -> None:
        super().__init__(stream, code)
        self.stream = stream
        self.code = code


def head(length: int, kind: int, flags: int, stream: int) -> bytes:
    """Return the nine bytes before a payload."""
    return _PACK(length >> 16, length & 0xFFFF, kind, flags, stream)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return a whole frame."""
    return head(len(payload), kind, flags, stream) + payload


def settings(values: dict[Setting, int]) -> bytes:
    """Return a SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(_PAIR.pack(*pair) for pair in values.items()))


def reset(stream: int, code: Code) -> bytes:
    """Return a RST_STREAM frame."""
    return frame(RST_STREAM, 0, stream, _NUMBER.pack(code))


def window_update(stream: int, increment: int) -> bytes:
    """Return a WINDOW_UPDATE frame; stream 0 is the connection."""
    return frame(WINDOW_UPDATE, 0, stream, _NUMBER.pack(increment))


def goaway(last_stream: int, code: Code, sentence: str = "") -> bytes:
    """Return a GOAWAY frame: streams after the last one have not been looked at."""
    numbers = _NUMBER.pack(last_stream) + _NUMBER.pack(code)
    return frame(GOAWAY, 0, 0, numbers + sentence.encode())


def number(payload: bytes) -> int:
    """Return the unsigned number of four bytes."""
    value: int = _NUMBER.unpack(payload)[0]
    return value


def pairs(payload: bytes) -> Iterator[tuple[int, int]]:
    """Return the settings in a SETTINGS payload.

    Raises:
        ConnectionFault: no whole number of settings.
    """
    if len(payload) % _PAIR.size:
        raise ConnectionFault(Code.FRAME_SIZE_ERROR, "SETTINGS of a broken length")
    return _PAIR.iter_unpack(payload)


def unpad(payload: bytes) -> bytes:
    """Return a padded payload's content.

    Raises:
        ConnectionFault: more padding than there are bytes.
    """
    padding = payload[0] if payload else 0
    if padding >= len(payload):
        raise ConnectionFault(Code.PROTOCOL_ERROR, "padding is longer than its frame")
    return payload[1 : len(payload) - padding]
