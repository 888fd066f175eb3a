"""Whole answers as the bytes of HTTP 1.1: what the slow way would send, without its objects.  Pure."""

from modelyard_core import headers
from modelyard_serving import http_errors, packing, protocol
from modelyard_serving.errors import NotReady

_PLAIN = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\ncontent-type: application/json\r\n"
_SIGNED = _PLAIN + headers.RECEIPT.encode() + b": %b\r\n\r\n%b"
_ANY = b"HTTP/1.1 200 OK\r\n%bcontent-length: %d\r\ncontent-type: %b\r\n%b\r\n%b"
_RECEIPT = headers.RECEIPT.encode() + b": %b\r\n"
_TOO_EARLY = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: %d\r\n"
    b"content-type: application/json\r\nretry-after: 1\r\n\r\n%b"
)
_KEEP_PLAIN_BELOW = packing.WORTH_PACKING_BYTES


_PLAIN_HEADS = tuple(_PLAIN % length + b"\r\n" for length in range(_KEEP_PLAIN_BELOW))
"""By the length of the body."""


def json(body: bytes) -> bytes:
    """Return a plain answer with a small JSON body."""
    return _PLAIN_HEADS[len(body)] + body


def answer(what: protocol.Answer, encoding: str = "", receipt: bytes = b"") -> bytes:
    """Return an answer; `encoding` is how the client likes a large one packed.

    `receipt` is the answer's receipt, if it has one.
    """
    body = what.body
    if what.json_length is None and len(body) < _KEEP_PLAIN_BELOW:
        if receipt:
            return _SIGNED % (len(body), receipt, body)
        return json(body)
    fields = b""
    kind = b"application/json"
    if what.json_length is not None:
        fields = b"%b: %d\r\n" % (protocol.JSON_LENGTH.encode(), what.json_length)
        kind = b"application/octet-stream"
    if len(body) >= packing.WORTH_PACKING_BYTES:
        fields += b"vary: accept-encoding\r\n"
        if encoding:
            fields += b"content-encoding: %b\r\n" % encoding.encode()
            body = packing.pack(encoding, body)
    return _ANY % (fields, len(body), kind, receipt and _RECEIPT % receipt, body)


def refusal(error: NotReady) -> bytes:
    """Return the answer to a request that came too early, or too late."""
    body = http_errors.body(str(error))
    return _TOO_EARLY % (len(body), body)
