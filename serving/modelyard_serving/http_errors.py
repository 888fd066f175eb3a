"""What a failure looks like over HTTP: one table from errors to status codes, one body."""

import math
from typing import TYPE_CHECKING

import orjson

from modelyard_core.errors import ModelyardError, Unavailable
from modelyard_serving.errors import (
    InvalidRequest,
    ModelFailed,
    NotReady,
    NotServed,
    Overloaded,
    TooLarge,
    UnsupportedEncoding,
)

if TYPE_CHECKING:
    from starlette.responses import Response

JSON = "application/json"
MAX_SENTENCE = 1000
"""Characters."""

STATUS: dict[type[ModelyardError], int] = {
    InvalidRequest: 400,
    NotServed: 404,
    TooLarge: 413,
    UnsupportedEncoding: 415,
    ModelFailed: 500,
    NotReady: 503,
    Overloaded: 503,
}


def body(sentence: str) -> bytes:
    """Return the body of every error answer; what a sentence quotes may be long, it is not."""
    if len(sentence) > MAX_SENTENCE:
        sentence = sentence[: MAX_SENTENCE - 1] + "…"
    return orjson.dumps({"error": sentence})


def response(error: ModelyardError) -> "Response":
    """Return the answer for a failure of this room; a type that is not in the table is a bug."""
    from starlette.responses import Response  # not needed by connections that answer by bytes

    answer = Response(body(str(error)), STATUS[type(error)], media_type=JSON)
    if isinstance(error, Unavailable) and error.retry_after is not None:
        seconds = math.ceil(error.retry_after.total_seconds())
        answer.headers["retry-after"] = str(seconds)
    return answer
