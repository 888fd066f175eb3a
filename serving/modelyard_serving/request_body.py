"""The bytes of one request, bounded while they come and while they are unpacked."""

import zlib
from typing import TYPE_CHECKING

from modelyard_serving.errors import InvalidRequest, TooLarge, UnsupportedEncoding

if TYPE_CHECKING:
    from starlette.requests import Request

AUTODETECT_HEADER = zlib.MAX_WBITS | 32
IDENTITY = ("", "identity")
PACKED = ("gzip", "x-gzip", "deflate")


async def read(request: "Request", limit: int) -> bytes:
    """Return the body, unpacked.

    Raises:
        TooLarge: more bytes than the limit, packed or unpacked.
        UnsupportedEncoding: packed in another way than gzip or deflate.
        InvalidRequest: the packing is broken.
        ClientDisconnect: the client went away.
    """
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding not in IDENTITY and encoding not in PACKED:
        raise UnsupportedEncoding(f"content encoding {encoding!r} is not gzip or deflate")
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    pieces = []
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > limit:
            raise _too_large(limit)
        pieces.append(piece)
    packed = b"".join(pieces)
    return packed if encoding in IDENTITY else unpack(packed, limit)


def unpack(packed: bytes, limit: int) -> bytes:
    """Return what a gzip or zlib stream holds, never producing more than the limit.

    Raises:
        TooLarge: it holds more.
        InvalidRequest: it is broken, cut short, or followed by something else.
    """
    stream = zlib.decompressobj(AUTODETECT_HEADER)
    try:
        data = stream.decompress(packed, limit + 1)
    except zlib.error as error:
        raise InvalidRequest(f"the body cannot be unpacked: {error}") from error
    if len(data) > limit:
        raise _too_large(limit)
    if not stream.eof:
        raise InvalidRequest("the packed body is cut short")
    if stream.unused_data:
        raise InvalidRequest("something follows the packed body")
    return data


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"the body is over the limit of {limit} bytes")
