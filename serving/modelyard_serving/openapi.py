"""The OpenAPI document of what one process serves, with its model's own names.  Pure."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from modelyard_core import headers
from modelyard_core.signature import Signature
from modelyard_serving import codec, protocol, tensor_schemas
from modelyard_serving.tensor_schemas import Schema

JSON = "application/json"
BINARY = "application/octet-stream"
MSGPACK = "application/vnd.msgpack"

INFER_TEXT = f"""\
The body is JSON, whatever its content type says, or JSON followed by binary tensors: little-endian,
row-major, in the order of the inputs that carry the parameter `{protocol.BINARY_SIZE}` instead of
`data`. The header `{protocol.JSON_LENGTH}` then gives the length of the JSON; 0 means that the body
is nothing but the elements of the only input. An element of BYTES is its length in four bytes, and
then so many bytes of UTF-8. Outputs asked for as binary come back in the same form.

The body may be packed with gzip or deflate (`content-encoding`), and so is a larger answer where
`accept-encoding` allows it.
"""

ERRORS = {
    400: "The request breaks the protocol or the model's contract.",
    401: "This server asks for a key, and the request shows none of them.",
    408: "The request took too long to arrive.",
    413: "Too many rows, or too many bytes, packed or unpacked.",
    415: "A content encoding that is neither gzip nor deflate.",
    431: "The head of the request is too large.",
    500: "The model failed on a valid request.",
    503: "Not ready, or too much to do; try again.",
}
UNAVAILABLE = 503
EVERYWHERE = (400, 401, 408, 413, 431, 500, 503)
"""What any request may be answered, whatever its path, by the server in front of the routes."""


@dataclass(frozen=True, slots=True)
class Service:
    """What the document describes."""

    model: str
    version: str
    digest: str
    signature: Signature
    max_rows: int
    server_version: str


def document(service: Service) -> dict[str, Any]:
    """Return the document."""
    paths: dict[str, Any] = {
        "/v2": {"get": _get("server", "The server and what it can do", _server(service))},
        "/v2/": {"get": _get("server_slash", "As /v2", _server(service))},
        "/v2/health/live": {"get": _get("live", "Whether the process runs", _flag("live"))},
        "/v2/health/ready": {
            "get": _get("ready", "Whether the model answers and may be asked", _flag("ready"))
        },
    }
    model = f"/v2/models/{quote(service.model, safe='')}"
    paths |= _model(service, model, "")
    paths |= _model(service, f"{model}/versions/{quote(service.version, safe='')}", "_version")
    paths |= _observation()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"{service.model}, version {service.version}",
            "version": service.server_version,
            "description": (
                "One version of one model, by the Open Inference Protocol v2. "
                f"The bundle's digest is `{service.digest}`."
            ),
        },
        "security": [{}, {"key": []}],
        "paths": paths,
        "components": _components(service),
    }


def _components(service: Service) -> dict[str, Any]:
    signature = service.signature
    return {
        "securitySchemes": {
            "key": {
                "type": "http",
                "scheme": "bearer",
                "description": "Only where the server was given keys; health, metrics and counts "
                "are open.",
            }
        },
        "schemas": {
            "Error": _object({"error": {"type": "string"}}),
            "Request": tensor_schemas.request(signature),
            "Answer": tensor_schemas.answer(signature, service.model, service.version),
            "Duration": _object({"count": _count(), "ns": _count()}),
        },
        "responses": {f"Error{code}": _error(code, sentence) for code, sentence in ERRORS.items()},
    }


def _error(code: int, sentence: str) -> dict[str, Any]:
    content = {JSON: {"schema": {"$ref": "#/components/schemas/Error"}}}
    if code == UNAVAILABLE:
        headers = {"retry-after": _header("Seconds to wait.")}
        return {"description": sentence, "headers": headers, "content": content}
    return {"description": sentence, "content": content}


def _object(properties: dict[str, Schema]) -> Schema:
    return {
        "type": "object",
        "required": list(properties),
        "properties": properties,
        "additionalProperties": False,
    }


def _count() -> Schema:
    return {"type": "integer", "minimum": 0}


def _header(description: str) -> dict[str, Any]:
    return {"description": description, "schema": _count()}


def _get(name: str, summary: str, schema: Schema) -> dict[str, Any]:
    return _operation(name, summary, {JSON: {"schema": schema}})


def _operation(
    name: str, summary: str, content: dict[str, Any], errors: tuple[int, ...] = EVERYWHERE
) -> dict[str, Any]:
    responses: dict[str, Any] = {"200": {"description": "The answer.", "content": content}}
    for code in errors:
        responses[str(code)] = {"$ref": f"#/components/responses/Error{code}"}
    return {"operationId": name, "summary": summary, "responses": responses}


def _flag(name: str) -> Schema:
    return _object({name: {"const": True}})


def _server(service: Service) -> Schema:
    return _object(
        {
            "name": {"const": protocol.SERVER_NAME},
            "version": {"const": service.server_version},
            "extensions": {"const": list(protocol.EXTENSIONS)},
        }
    )


def _model(service: Service, path: str, suffix: str) -> dict[str, Any]:
    ready = _object({"name": {"const": service.model}, "ready": {"const": True}})
    return {
        path: {"get": _get(f"model{suffix}", "What the model takes and gives", _metadata(service))},
        f"{path}/ready": {
            "get": _get(f"model_ready{suffix}", "Whether this model may be asked", ready)
        },
        f"{path}/stats": {
            "get": _get(f"stats{suffix}", "Counts and times since the start", _stats(service))
        },
        f"{path}/infer": {"post": _infer(service, f"infer{suffix}")},
    }


def _metadata(service: Service) -> Schema:
    return _object(
        {
            key: {"const": value}
            for key, value in protocol.model_metadata(
                service.model,
                service.version,
                service.signature.inputs,
                service.signature.outputs,
                service.digest,
            ).items()
        }
    )


def _stats(service: Service) -> Schema:
    duration = {"$ref": "#/components/schemas/Duration"}
    stages = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output")
    one = _object(
        {
            "name": {"const": service.model},
            "version": {"const": service.version},
            "last_inference": {**_count(), "description": "Milliseconds since 1970; 0 for never."},
            "inference_count": {**_count(), "description": "Rows answered."},
            "execution_count": {**_count(), "description": "Runs of the model."},
            "inference_stats": _object(dict.fromkeys(stages, duration)),
        }
    )
    return _object({"model_stats": {"type": "array", "items": one, "minItems": 1, "maxItems": 1}})


def _infer(service: Service, name: str) -> dict[str, Any]:
    answer = {
        JSON: {"schema": {"$ref": "#/components/schemas/Answer"}},
        BINARY: {"schema": {"description": "JSON, and binary tensors after it."}},
    }
    operation = _operation(name, "Ask the model", answer, tuple(ERRORS))
    operation["responses"]["200"]["headers"] = {
        protocol.JSON_LENGTH: _header("Bytes of the JSON before the binary tensors."),
        headers.RECEIPT: {
            "description": "Proof of the answer, where the server was given a key to sign with.",
            "schema": {"type": "string"},
        },
    }
    return {
        **operation,
        # The header of binary tensors is no parameter: it says what the body is, and a schema
        # cannot say that a body is of another kind where a header is there.
        "description": f"{INFER_TEXT}\nAt most {service.max_rows} rows.",
        "parameters": [
            {
                "name": "x-request-id",
                "in": "header",
                "description": "Names the request; its copies carry the same.",
                "schema": {"type": "string"},
            }
        ],
        "requestBody": {"required": True, "content": _bodies(service.signature)},
    }


def _bodies(signature: Signature) -> dict[str, Any]:
    bodies: dict[str, Any] = {
        BINARY: {"schema": {"description": "JSON, and binary tensors after it."}}
    }
    if all(tensor.datatype in codec.JSON_TYPES for tensor in signature.inputs):
        bodies[JSON] = {
            "schema": {"$ref": "#/components/schemas/Request"},
            "examples": {"one_row": {"value": tensor_schemas.example(signature)}},
        }
    return bodies


def _observation() -> dict[str, Any]:
    text = {"text/plain": {"schema": {"type": "string"}}}
    page = {"text/html": {"schema": {"type": "string"}}}
    anything: Schema = {"type": "object"}
    document = {JSON: {"schema": anything}, MSGPACK: {"schema": {}}}
    answers = _operation("answers", "Some of the latest answers, for comparison", document)
    answers["parameters"] = [
        _query("since", "The cursor of the page before.", {"type": "string"}),
        _query("limit", "Answers of this page at most.", {"type": "integer", "minimum": 1}),
    ]
    return {
        "/metrics": {"get": _operation("metrics", "Metrics for Prometheus", text)},
        "/v1/sketch": {
            "get": _operation("sketch", "Live counts over the profile's bins", document)
        },
        "/v1/answers": {"get": answers},
        "/v1/profile": {
            "get": _get("profile", "The reference distribution of this version", anything)
        },
        "/openapi.json": {"get": _get("openapi", "This document", anything)},
        "/docs": {"get": _operation("docs", "This document, to be read", page)},
    }


def _query(name: str, description: str, schema: Schema) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": schema}
