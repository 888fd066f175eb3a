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
from hpack.table import HeaderTable

from modelyard_serving.http2_frames import Code, ConnectionFault

Field = tuple[bytes, bytes]
R = TypeVar("R")

REMEMBERED = 64
TABLE_RESIZED = (0x20, 0xE0)
"""What a block that begins by resizing the table has in its first byte, and in which bits."""
PSEUDO = frozenset({b":method", b":scheme", b":path", b":authority"})
NEEDED = (b":method", b":scheme", b":path")
OF_A_CONNECTION = frozenset(
    {b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"}
)
NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
NO_VALUE = re.compile(rb"[\x00\r\n]|\A[ \t]|[ \t]\Z")
MAX_DIGITS = 18


class Malformed(Exception):
    """The fields are no request; the sentence says why."""


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
        self._decoder = Decoder(max_header_list_size=max_bytes)
        self._table = _Table()
        self._decoder.header_table = self._table
        self._max_fields = max_fields
        self._interpret = interpret
        self._known: dict[bytes, R] = {}

    def request(self, block: bytes) -> R:
        """Return what was made of a request's block.

        Raises:
            ConnectionFault: the block cannot be unpacked, or is larger than this side said.
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
            ConnectionFault: as `request`.
        """
        additions = self._table.additions
        try:
            fields = cast("Sequence[Field]", self._decoder.decode(block, raw=True))
        except OversizedHeaderListError as error:
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "too many headers") from error
        except HPACKError as error:
            raise ConnectionFault(Code.COMPRESSION_ERROR, "broken header compression") from error
        if additions != self._table.additions or not self._stays(block):
            self._known.clear()
        if len(fields) > self._max_fields:
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "too many headers")
        return fields

    @staticmethod
    def _stays(block: bytes) -> bool:
        """Return whether the block leaves the table's size alone."""
        bits, mask = TABLE_RESIZED
        return not block or block[0] & mask != bits


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
