"""The heads of requests that the fast way may answer, remembered by their bytes.  Pure.

A head is read once, strictly, by the parser of the slow way; whatever is unusual about it is left to
the slow way.  Clients repeat their heads to the byte, so the next one costs a look into a dict.  The
values of a few headers that differ from request to request are cut out before.
"""

from dataclasses import dataclass, field
from enum import Enum

import httptools

from modelyard_core import headers
from modelyard_core.roles import Role
from modelyard_serving import packing, protocol
from modelyard_serving.access import Access
from modelyard_serving.errors import InvalidRequest
from modelyard_serving.settings import Limits

MAX_HEADS = 1024
MAX_HEAD_BYTES = 4096
"""Longer ones are left to the slow way, so that what is remembered stays small."""
MAX_CUT_BYTES = 128
NOTHING = b"\0"
"""Stands for a value that was cut out: no head that is taken holds it."""
VISIBLE = bytes(range(0x21, 0x7F))
REQUEST_ID = b"x-request-id"
CUT = tuple(
    (b"\r\n%b: " % name, len(name) + 4, name.lower() == REQUEST_ID)
    for name in (REQUEST_ID, b"traceparent", b"tracestate", b"X-Request-Id", b"Traceparent")
)
"""Header lines whose values differ from request to request and mean nothing to HTTP: how they begin,
the length of that, and whether the value is the request's id."""
MAX_LENGTH_DIGITS = 15
SMALL_BYTES = 2048
"""Bodies up to this size are read into Python's numbers, larger ones straight into arrays."""
NOT_FOR_US = frozenset(
    (b"transfer-encoding", b"expect", b"te", b"trailer", b"upgrade", b"http2-settings")
)
OFFER = (b"connection", b"upgrade", b"http2-settings")
OFFERING = {b"upgrade", b"http2-settings", b"keep-alive"}
ROLES = {role.value.encode(): role for role in Role}
NO_BODY = (b"", b"0")


class Kind(Enum):
    """What is asked for."""

    INFER = 1
    LIVE = 2
    READY = 3
    MODEL_READY = 4


@dataclass(frozen=True, slots=True)
class Head:
    """What a head says, as far as the fast way cares."""

    kind: Kind
    length: int
    """Bytes of the body."""
    json_length: int | None = None
    role: Role = Role.DIRECT
    encoding: str = ""
    """What the client likes large answers to be packed with."""

    is_small: bool = field(init=False)
    """Whether it is an inference that came in one packet, most likely."""
    has_rows: bool = field(init=False)
    """Whether it is one in JSON that is so small that Python's numbers are good enough."""

    def __post_init__(self) -> None:
        is_short = self.length <= SMALL_BYTES
        object.__setattr__(self, "is_small", self.kind is Kind.INFER and is_short)
        object.__setattr__(self, "has_rows", self.is_small and self.json_length is None)


Found = tuple[Head, str | None]
"""What a head says, and the request's id."""
Spans = tuple[tuple[int, int, bool], ...]
"""Values in a head: where they begin and end, and whether they are the request's id."""


class Heads:
    """The heads seen last, as long as the keys that opened the server do."""

    def __init__(self, model: str, version: str, access: Access, limits: Limits) -> None:
        infer = f"/v2/models/{model}"
        versioned = f"{infer}/versions/{version}"
        self._kinds = {
            b"/v2/health/live": Kind.LIVE,
            b"/v2/health/ready": Kind.READY,
        }
        for path in (infer, versioned):
            self._kinds[f"{path}/infer".encode()] = Kind.INFER
            self._kinds[f"{path}/ready".encode()] = Kind.MODEL_READY
        self._access = access
        self._generation = access.generation
        self._max_bytes = min(MAX_HEAD_BYTES, limits.max_header_bytes - len(CUT) * MAX_CUT_BYTES)
        self._max_fields = limits.max_headers
        self._max_body_bytes = limits.max_body_bytes
        self.known: dict[bytes, Found] = {}
        """Heads without the values that differ.  The dict itself stays the same."""
        self._spans: dict[int, Spans] = {}
        """By the length of a head: where such values were in one of that length, most likely."""

    @property
    def remembered(self) -> int:
        """How many heads are known."""
        return len(self.known)

    @property
    def are_current(self) -> bool:
        """Whether the keys that opened the server for these heads still do."""
        return self._access.generation == self._generation

    def find(self, head: bytes) -> Found | None:
        """Return what a whole head says, and the request's id; None if it is for the slow way."""
        if not self.are_current:
            self.known.clear()
            self._generation = self._access.generation
        return self.known.get(head) or self.find_cut(head) or self._learn(head)

    def find_cut(self, head: bytes) -> Found | None:
        """Return what a head says that is known but for the values that differ; else None."""
        spans = self._spans.get(len(head))
        cut = None if spans is None else _cut_out(head, spans)
        if cut is None:
            return None
        key, request_id = cut
        found = self.known.get(key)
        return found if found is None or request_id is None else (found[0], request_id)

    def _learn(self, head: bytes) -> Found | None:
        """Return what a head says, and remember it."""
        spans = _spans(head)
        key, request_id = _cut_out(head, spans) or (head, None)
        found = self.known.get(key)
        if found is None:
            read = self._read(head)
            if read is None:
                return None
            found = read if request_id is None else (read[0], None)
            if len(self.known) >= MAX_HEADS:
                self.known.clear()
                self._spans.clear()
            self.known[key] = found
        if spans:
            self._spans[len(head)] = spans
        return found if request_id is None else (found[0], request_id)

    def _read(self, head: bytes) -> Found | None:
        if len(head) > self._max_bytes or head.count(b"\n") != head.count(b"\r\n"):
            return None
        seen = _Reading()
        if not seen.read(head) or len(seen.fields) > self._max_fields:
            return None
        kind = self._kinds.get(seen.url)
        if kind is None or not _is_plain(seen.fields):
            return None
        if kind is not Kind.INFER:
            is_get = seen.method == b"GET" and seen.fields.get(b"content-length", b"") in NO_BODY
            return self._probe(kind, seen.fields) if is_get else None
        return self._infer(seen) if seen.method == b"POST" else None

    def _probe(self, kind: Kind, fields: dict[bytes, bytes]) -> Found | None:
        guarded = kind is Kind.MODEL_READY
        if guarded and not self._access.allows(fields.get(b"authorization")):
            return None
        return Head(kind, 0), None

    def _infer(self, seen: "_Reading") -> Found | None:
        fields = seen.fields
        length = fields.get(b"content-length", b"")
        if not length.isdigit() or len(length) > MAX_LENGTH_DIGITS:
            return None
        if int(length) > self._max_body_bytes:
            return None
        if not self._access.allows(fields.get(b"authorization")):
            return None
        json_length = fields.get(protocol.JSON_LENGTH.encode())
        request_id = fields.get(REQUEST_ID)
        try:
            head = Head(
                Kind.INFER,
                int(length),
                protocol.json_length_of(
                    () if json_length is None else (json_length.decode("ascii"),)
                ),
                ROLES.get(fields.get(headers.ROLE.encode(), b""), Role.DIRECT),
                packing.choose(fields.get(b"accept-encoding", b"").decode("ascii")),
            )
            return head, None if request_id is None else request_id.decode("ascii")
        except (InvalidRequest, UnicodeDecodeError):
            return None


def _spans(head: bytes) -> Spans:
    """Return where in a head the values are that differ, in order."""
    spans = []
    for line, length, is_id in CUT:
        begin = head.find(line) + length
        end = head.find(b"\r", begin)
        if begin < length or not 0 < end - begin <= MAX_CUT_BYTES:
            continue
        if not head[begin:end].translate(None, VISIBLE):
            spans.append((begin, end, is_id))
    return tuple(sorted(spans))


def _cut_out(head: bytes, spans: Spans) -> tuple[bytes, str | None] | None:
    """Return a head without values, and the one that is the request's id; None if one is no value.

    A value that holds nothing but visible characters cannot begin a line, let alone end the head:
    the rest of two heads that are the same without such values is the same in both.
    """
    key = b""
    request_id = None
    at = 0
    for begin, end, is_id in spans:
        value = head[begin:end]
        if value.translate(None, VISIBLE):
            return None
        if is_id:
            request_id = value.decode()
        key += head[at:begin] + NOTHING
        at = end
    return key + head[at:], request_id


def without_offer(head: bytes) -> bytes | None:
    """Return a head without its offer to go on in HTTP/2; None if there is none, or more to it.

    Some clients offer it with every request, and the parser takes what follows an offer for the
    other protocol, the body included.  A server may ignore the offer.
    """
    seen = _Reading()
    if not seen.read(head, offers=True):
        return None
    hops = {token.strip().lower() for token in seen.fields.get(b"connection", b"").split(b",")}
    upgrade = seen.fields.get(b"upgrade", b"").lower()
    if upgrade != b"h2c" or not hops <= OFFERING or head.count(b"\n") != head.count(b"\r\n"):
        return None
    lines = head.split(b"\r\n")
    kept = [line for line in lines if line.partition(b":")[0].lower() not in OFFER]
    return b"\r\n".join(kept)


def _is_plain(fields: dict[bytes, bytes]) -> bool:
    return (
        NOT_FOR_US.isdisjoint(fields)
        and b"host" in fields
        and fields.get(b"connection", b"keep-alive").lower() == b"keep-alive"
        and fields.get(b"content-encoding", b"identity").lower() == b"identity"
    )


class _Reading:
    """What the parser tells about one head."""

    def __init__(self) -> None:
        self.url = b""
        self.method = b""
        self.fields: dict[bytes, bytes] = {}
        self._repeated = False
        self._ends = 0
        self._begins = 0
        self._body = False

    def read(self, head: bytes, *, offers: bool = False) -> bool:
        """Return whether the bytes are one head of HTTP 1.1, that offers another protocol or not."""
        parser = httptools.HttpRequestParser(self)
        offered = False
        try:
            parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            offered = True
        except httptools.HttpParserError:
            return False
        self.method = parser.get_method()
        is_one = (self._begins, self._ends, self._body) == (1, 1, False)
        if offered is not offers:
            return False
        return is_one and not self._repeated and parser.get_http_version() == "1.1"

    def on_message_begin(self) -> None:
        self._begins += 1

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        self._repeated |= name in self.fields
        self.fields[name] = value

    def on_headers_complete(self) -> None:
        self._ends += 1

    def on_body(self, _: bytes) -> None:
        self._body = True
