"""gzip and deflate, in both directions, and which of them a client takes.  Pure."""

import zlib

from modelyard_serving.errors import InvalidRequest, TooLarge

GZIP, DEFLATE = "gzip", "deflate"
PREFERRED = (GZIP, DEFLATE)
ALIASES = {"x-gzip": GZIP}
WORTH_PACKING_BYTES = 1024
"""A smaller answer fits into one packet anyway."""
FASTEST = 1
"""Answers are numbers: more effort saves few bytes and costs much time."""

_WINDOW = {GZIP: zlib.MAX_WBITS | 16, DEFLATE: zlib.MAX_WBITS}


def canonical(name: str) -> str:
    """Return an encoding's name as it is known here; empty for none."""
    name = name.strip().lower()
    return "" if name == "identity" else ALIASES.get(name, name)


def choose(accepted: str) -> str:
    """Return the encoding that an Accept-Encoding header likes best; empty for none.

    >>> choose("deflate;q=0.5, gzip;q=0.8, br"), choose("gzip;q=0, identity"), choose("*")
    ('gzip', '', 'gzip')
    """
    likings: dict[str, float] = {}
    for item in accepted.split(","):
        name, _, parameters = item.partition(";")
        if name.strip():
            likings[canonical(name)] = _liking(parameters)
    rest = likings.get("*", 0.0)
    best = max(PREFERRED, key=lambda name: likings.get(name, rest))
    liking = likings.get(best, rest)
    return best if liking > 0 and liking >= likings.get("", 0.0) else ""


def _liking(parameters: str) -> float:
    """Return the q-value; what cannot be read as one is a no."""
    if not parameters.strip():
        return 1.0
    name, _, value = parameters.partition("=")
    try:
        liking = float(value) if name.strip().lower() == "q" else 0.0
    except ValueError:
        return 0.0
    return liking if 0 <= liking <= 1 else 0.0


def pack(encoding: str, data: bytes) -> bytes:
    """Return the data, packed."""
    stream = zlib.compressobj(FASTEST, zlib.DEFLATED, _WINDOW[encoding])
    return stream.compress(data) + stream.flush()


def unpack(encoding: str, packed: bytes, limit: int) -> bytes:
    """Return what a stream of this encoding holds, never producing more than the limit.

    Raises:
        TooLarge: it holds more.
        InvalidRequest: it is of another kind, broken, cut short, or followed by something else.
    """
    stream = zlib.decompressobj(_WINDOW[encoding])
    try:
        data = stream.decompress(packed, limit + 1)
    except zlib.error as error:
        raise InvalidRequest(f"the body cannot be unpacked: {error}") from error
    if len(data) > limit:
        raise TooLarge(f"the body is over the limit of {limit} bytes")
    if not stream.eof:
        raise InvalidRequest("the packed body is cut short")
    if stream.unused_data:
        raise InvalidRequest("something follows the packed body")
    return data
