"""What other programs read from a pod, as MessagePack or as JSON: whichever they ask for.

JSON is the default, for people and for readers that know nothing else; a wildcard asks for nothing.
"""

import asyncio

import msgspec
import orjson
from starlette.responses import Response

from modelyard_core import codec

JSON = "application/json"
MSGPACK = "application/vnd.msgpack"
MSGPACK_NAMES = (MSGPACK, "application/msgpack", "application/x-msgpack")
"""The registered name, and those that were used before there was one."""


async def answer(document: object, accept: str) -> Response:
    """Return a dataclass of the core's as `accept`, an Accept header, wants it.

    Written in a thread: the sketch of a wide model takes longer than a request should wait.
    """
    return await asyncio.to_thread(_response, document, accept)


def _response(document: object, accept: str) -> Response:
    encoded = codec.encode(document)
    vary = {"vary": "accept"}
    if wants_msgpack(accept):
        return Response(msgspec.msgpack.encode(encoded), headers=vary, media_type=MSGPACK)
    return Response(orjson.dumps(encoded), headers=vary, media_type=JSON)


def wants_msgpack(accept: str) -> bool:
    """Return whether MessagePack is named, and JSON is not preferred to it.

    >>> wants_msgpack("application/vnd.msgpack, application/json;q=0.5")
    True
    >>> wants_msgpack("*/*") or wants_msgpack("application/msgpack;q=0.5, application/json")
    False
    """
    wanted: dict[str, float] = {}
    for item in accept.split(","):
        name, *parameters = (part.strip().lower() for part in item.split(";"))
        wanted[name] = max(wanted.get(name, 0.0), _quality(parameters))
    msgpack = max(wanted.get(name, 0.0) for name in MSGPACK_NAMES)
    return msgpack > 0 and msgpack >= wanted.get(JSON, 0.0)


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
