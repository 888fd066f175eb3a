"""HTTP/2's header blocks: unpacked, checked, and remembered while they mean the same (RFC 9113, 8).

A client that makes one call again and again sends the very same bytes each time.  A block that
leaves the compression's table as it was reads the same until the table changes, so what was made
of it is kept till then.  Pure.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from hpack import Decoder
from hpack.exceptions import HPACKError, OversizedHeaderListError
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable

from modelyard_serving.grpc.http2_frames import Code, ConnectionFault

Field = tuple[bytes, bytes]
R = TypeVar("R")

REMEMBERED = 64
TABLE_RESIZED = (0x20, 0xE0)
"""What a block that begins by resizing the table has in its first byte, and in which bits."""
INDEXED = PACKED = 0x80
"""The bit of a field that is in the table, and of a text in Huffman's code."""
LONG_INDEX = 0xFF
CHANGES_TABLE = 0x60
SHORT_INDEX = 0x0F
"""The bits of an index before a text; all of them say that more follow."""
LONG_TEXT = 0x7F
FIELD_BYTES = 32
"""What a field counts beyond its texts."""
PSEUDO = frozenset({b":method", b":scheme", b":path", b":authority"})
NEEDED = (b":method", b":scheme", b":path")
OF_A_CONNECTION = frozenset(
    {b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"}
)
NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
NO_VALUE = re.compile(rb"[\x00\r\n]|\A[ \t]|[ \t]\Z")
MAX_DIGITS = 18
FLOOD = 4
"""Times the limit of a block's bytes, packed or unpacked, from which on the connection ends."""


class Malformed(Exception):
    """The fields are no request; the sentence says why."""


class Oversized(Exception):
    """There are more fields, or larger ones, than this side takes; the next block is readable."""


@dataclass(frozen=True, slots=True)
class Head:
    """A request without its body: the fields are unique by name, joined where they came twice."""

    method: bytes
    path: bytes
    fields: dict[bytes, bytes]
    content_length: int | None


class _Table(HeaderTable):
    """The compression's table, with a count of what was put in."""

    def __init__(self) -> None:
        super().__init__()
        self.additions = 0

    def add(self, name: bytes, value: bytes) -> None:
        self.additions += 1
        super().add(name, value)


class HeaderBlocks(Generic[R]):
    """The header blocks of one connection, in the order in which they come."""

    def __init__(
        self, max_bytes: int, max_fields: int, interpret: Callable[[Head], tuple[R, bool]]
    ) -> None:
        """Take what makes a request of a head, and says whether that is worth remembering."""
        self._decoder = Decoder(max_header_list_size=max_bytes * FLOOD)
        self._table = _Table()
        self._decoder.header_table = self._table
        self._max_bytes = max_bytes
        self._max_fields = max_fields
        self._interpret = interpret
        self._known: dict[bytes, R] = {}

    def request(self, block: bytes) -> R:
        """Return what was made of a request's block.

        Raises:
            ConnectionFault: the block cannot be unpacked, or is a flood.
            Oversized: it is larger than this side said.
            Malformed: it is no request.
        """
        known = self._known.get(block)
        if known is not None:
            return known
        additions = self._table.additions
        head = _head(self.fields(block))
        request, worthwhile = self._interpret(head)
        if worthwhile and additions == self._table.additions and self._stays(block):
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[block] = request
        return request

    def forget(self) -> None:
        """Make every request anew from now on: what it means has changed."""
        self._known.clear()

    def fields(self, block: bytes) -> Sequence[Field]:
        """Return a block's fields.

        Raises:
            ConnectionFault, Oversized: as `request`.
        """
        additions = self._table.additions
        fields: Sequence[Field] | None = self._read_plainly(block)
        is_large = False
        try:
            if fields is None:
                fields = cast("Sequence[Field]", self._decoder.decode(block, raw=True))
                is_large = _size(fields) > self._max_bytes
        except OversizedHeaderListError as error:
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "too many headers") from error
        except HPACKError as error:
            raise ConnectionFault(Code.COMPRESSION_ERROR, "broken header compression") from error
        if additions != self._table.additions or not self._stays(block):
            self._known.clear()
        if is_large or len(fields) > self._max_fields:
            raise Oversized
        return fields

    def _read_plainly(self, block: bytes) -> Sequence[Field] | None:
        """Return the fields of a block of short ones that leave the table alone; None for others.

        What differs from call to call, an id say, comes like that; the library takes several times
        as long.  It judges all that is unusual here.
        """
        fields: list[Field] = []
        at = size = 0
        try:
            while at < len(block):
                first = block[at]
                at += 1
                if first & INDEXED:
                    field = self._table.get_by_index(first & ~INDEXED)
                    if first == LONG_INDEX:
                        return None
                elif first & CHANGES_TABLE or first & SHORT_INDEX == SHORT_INDEX:
                    return None
                else:
                    name, at = self._name(first & SHORT_INDEX, block, at)
                    value, at = _text(block, at)
                    field = (name, value)
                fields.append(field)
                size += FIELD_BYTES + len(field[0]) + len(field[1])
        except (HPACKError, IndexError, _Unusual):
            return None
        return fields if size <= self._max_bytes else None

    def _name(self, index: int, block: bytes, at: int) -> tuple[bytes, int]:
        if index:
            return self._table.get_by_index(index)[0], at
        return _text(block, at)

    @staticmethod
    def _stays(block: bytes) -> bool:
        """Return whether the block leaves the table's size alone."""
        bits, mask = TABLE_RESIZED
        return not block or block[0] & mask != bits


def _size(fields: Sequence[Field]) -> int:
    return sum(FIELD_BYTES + len(name) + len(value) for name, value in fields)


class _Unusual(Exception):
    """A text that is not short, or not whole."""


def _text(block: bytes, at: int) -> tuple[bytes, int]:
    """Return a short text in a block, and where it ends."""
    size = block[at] & ~PACKED
    begin, end = at + 1, at + 1 + size
    if size == LONG_TEXT or end > len(block):
        raise _Unusual
    text = block[begin:end]
    return (decode_huffman(text) if block[at] & PACKED else text), end


def check_trailers(fields: Sequence[Field]) -> None:
    """Return if the fields may come after a body.

    Raises:
        Malformed: they may not.
    """
    for name, value in fields:
        _check_field(name, value)


def _head(fields: Sequence[Field]) -> Head:
    pseudo: dict[bytes, bytes] = {}
    regular: dict[bytes, bytes] = {}
    for name, value in fields:
        if name.startswith(b":"):
            if regular or name in pseudo or name not in PSEUDO:
                raise Malformed(f"pseudo-header {name!r} is unknown, late, or there twice")
            if NO_VALUE.search(value):
                raise Malformed(f"header {name!r} has an impossible value")
            pseudo[name] = value
        else:
            _check_field(name, value)
            regular[name] = regular[name] + b"," + value if name in regular else value
    if any(not pseudo.get(name) for name in NEEDED):
        raise Malformed("a pseudo-header is missing")
    return Head(pseudo[b":method"], pseudo[b":path"], regular, _content_length(regular))


def _check_field(name: bytes, value: bytes) -> None:
    if not NAME.fullmatch(name) or NO_VALUE.search(value):
        raise Malformed(f"header {name!r} is no header")
    if name in OF_A_CONNECTION or (name == b"te" and value != b"trailers"):
        raise Malformed(f"header {name!r} has no place in HTTP/2")


def _content_length(fields: dict[bytes, bytes]) -> int | None:
    text = fields.get(b"content-length")
    if text is None:
        return None
    if not text.isdigit() or len(text) > MAX_DIGITS:
        raise Malformed("content-length is no length")
    return int(text)
