"""What an inference's answer looks like over HTTP: its headers, and its packing if the client asks."""

from starlette.responses import Response

from modelyard_serving import packing, protocol
from modelyard_serving.openapi import BINARY, JSON


def response(answer: protocol.Answer, accepted: str) -> Response:
    """Return the answer, packed if that is worth it and `accepted`, an Accept-Encoding, allows."""
    headers = {}
    if answer.json_length is not None:
        headers[protocol.JSON_LENGTH] = str(answer.json_length)
    body = answer.body
    if len(body) >= packing.WORTH_PACKING_BYTES:
        headers["vary"] = "accept-encoding"
        encoding = packing.choose(accepted)
        if encoding:
            headers["content-encoding"] = encoding
            body = packing.pack(encoding, body)
    kind = JSON if answer.json_length is None else BINARY
    return Response(body, headers=headers, media_type=kind)
