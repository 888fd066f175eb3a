"""The bytes of one request, bounded while they come and while they are unpacked."""

from typing import TYPE_CHECKING

from modelyard_serving import packing
from modelyard_serving.errors import TooLarge, UnsupportedEncoding

if TYPE_CHECKING:
    from starlette.requests import Request


async def read(request: "Request", limit: int) -> bytes:
    """Return the body, unpacked.

    Raises:
        TooLarge: more bytes than the limit, packed or unpacked.
        UnsupportedEncoding: packed in another way than gzip or deflate.
        InvalidRequest: the packing is broken.
        ClientDisconnect: the client went away.
    """
    encoding = packing.canonical(", ".join(request.headers.getlist("content-encoding")))
    if encoding and encoding not in packing.PREFERRED:
        raise UnsupportedEncoding(f"content encoding {encoding!r} is not gzip or deflate")
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    pieces = []
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > limit:
            raise _too_large(limit)
        pieces.append(piece)
    packed = b"".join(pieces)
    return packing.unpack(encoding, packed, limit) if encoding else packed


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"the body is over the limit of {limit} bytes")
