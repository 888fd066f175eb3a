"""What is wrong with a request's head that the parser lets through.  Pure.

Two programs that read the same bytes differently are how a request is smuggled past the first one.
So whatever is unusual about where a request ends, and means nothing here, is refused.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from modelyard_serving.settings import Limits

VERSIONS = ("1.0", "1.1")
OLD = "1.0"
BODY_HEADERS = (b"content-length", b"transfer-encoding")


class Refusal(NamedTuple):
    """A status code and a sentence."""

    status: int
    sentence: str


class Head(NamedTuple):
    """A head as the parser read it; names are in small letters."""

    version: str
    target: bytes
    fields: Sequence[tuple[bytes, bytes]]
    offers_upgrade: bool

    def values(self, name: bytes) -> list[bytes]:
        """Return what the fields of this name say."""
        return [value for other, value in self.fields if other == name]


def first_complaint(head: Head, limits: Limits) -> Refusal | None:
    """Return what is wrong with the head; None if it is acceptable."""
    return next(_complaints(head, limits), None)


def too_long(limits: Limits) -> Refusal:
    """Return the refusal of a head, or of what follows a body, that has too many bytes."""
    return Refusal(431, f"the request's head is over the limit of {limits.max_header_bytes} bytes")


def _complaints(head: Head, limits: Limits) -> Iterator[Refusal]:
    size = len(head.target) + sum(len(name) + len(value) for name, value in head.fields)
    if size > limits.max_header_bytes:
        yield too_long(limits)
    if len(head.fields) > limits.max_headers:
        yield Refusal(431, f"the request's head has over {limits.max_headers} fields")
    if head.version not in VERSIONS:
        yield Refusal(505, f"HTTP/1.1 is spoken here, not {head.version}")
    if b"#" in head.target:
        yield Refusal(400, "the request's target has a fragment")
    hosts = len(head.values(b"host"))
    if hosts > 1 or (hosts == 0 and head.version != OLD):
        yield Refusal(400, f"the request names {'two hosts' if hosts else 'no host'}")
    yield from _complaints_about_the_body(head)


def _complaints_about_the_body(head: Head) -> Iterator[Refusal]:
    encodings = [value.strip().lower() for value in head.values(b"transfer-encoding")]
    if encodings and head.version == OLD:
        yield Refusal(400, "HTTP/1.0 has no transfer encodings")
    if encodings and encodings != [b"chunked"]:
        yield Refusal(501, "chunked is the only transfer encoding here")
    # The parser takes what follows an offered upgrade for another protocol, the body included.
    if head.offers_upgrade and any(name in BODY_HEADERS for name, _ in head.fields):
        yield Refusal(400, "a request with a body cannot offer an upgrade; send it plainly")
