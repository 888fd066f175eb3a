"""The routes, and nothing else: HTTP in, a call into the room, HTTP out."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from modelyard_core import headers
from modelyard_core.errors import ModelyardError
from modelyard_core.roles import Role
from modelyard_serving import (
    answers,
    clock,
    docs_page,
    documents,
    http_answers,
    http_errors,
    openapi,
    protocol,
    receipts,
    request_body,
    version,
)
from modelyard_serving.gate import Gate
from modelyard_serving.inference import Computed, Inference
from modelyard_serving.metrics import CONTENT_TYPE, Metrics
from modelyard_serving.receipts import Receipts
from modelyard_serving.settings import Limits

CLIENT_CLOSED_REQUEST = 499
REQUEST_ID = "x-request-id"
"""Names a request; the router's mirrored copies carry the same."""
ROLES = {role.value: role for role in Role}
MODEL = ("/v2/models/{name}", "/v2/models/{name}/versions/{version}")

Endpoint = Callable[[Request], Awaitable[Response]]


def create_app(
    gate: Gate, metrics: Metrics, limits: Limits, papers: Receipts = receipts.NONE
) -> Starlette:
    """Return the application; the gate decides from moment to moment whether a model answers."""
    metrics.ready.set_function(lambda: float(gate.is_ready()))
    app = Starlette(
        routes=[
            *_inference(gate, metrics, limits, papers),
            *_health(gate),
            *_model(gate),
            *_observation(gate, metrics),
            *_description(gate, limits),
        ],
        exception_handlers={HTTPException: _routing, ModelyardError: _ours, Exception: _bug},
    )
    app.router.redirect_slashes = False
    return app


def _get(path: str, endpoint: Endpoint) -> Route:
    """Return the route for GET alone; Starlette would answer HEAD, too."""
    route = Route(path, endpoint)
    route.methods = {"GET"}
    return route


def _json(document: object) -> Response:
    return Response(orjson.dumps(document), media_type=http_errors.JSON)


async def _routing(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    sentence = f"{request.method} {request.url.path}: {error.detail}"
    return Response(http_errors.body(sentence), error.status_code, error.headers, http_errors.JSON)


async def _ours(_: Request, error: Exception) -> Response:
    assert isinstance(error, ModelyardError)
    return http_errors.response(error)


async def _bug(_: Request, __: Exception) -> Response:
    return Response(http_errors.body("internal error"), 500, media_type=http_errors.JSON)


def _health(gate: Gate) -> list[Route]:
    async def live(_: Request) -> Response:
        return _json({"live": True})

    async def ready(_: Request) -> Response:
        gate.check_ready()
        return _json({"ready": True})

    async def server(_: Request) -> Response:
        return _json(protocol.server_metadata(version.own()))

    return [
        _get("/v2/health/live", live),
        _get("/v2/health/ready", ready),
        _get("/v2", server),
        _get("/v2/", server),
    ]


def _served(gate: Gate, request: Request) -> Inference:
    """Return the model if it is the one that the path names."""
    inference = gate.inference()
    inference.check_name(request.path_params["name"], request.path_params.get("version"))
    return inference


def _model(gate: Gate) -> list[Route]:
    async def metadata(request: Request) -> Response:
        inference = _served(gate, request)
        signature = inference.signature
        return _json(
            protocol.model_metadata(
                inference.name,
                inference.version,
                signature.inputs,
                signature.outputs,
                inference.digest,
            )
        )

    async def ready(request: Request) -> Response:
        inference = _served(gate, request)
        gate.check_ready()
        return _json({"name": inference.name, "ready": True})

    async def statistics(request: Request) -> Response:
        inference = _served(gate, request)
        return _json(inference.statistics.document(inference.name, inference.version))

    ends = {"": metadata, "/ready": ready, "/stats": statistics}
    return [_get(path + end, ends[end]) for path in MODEL for end in ends]


async def _infer(
    gate: Gate, request: Request, limits: Limits, role: Role, papers: Receipts
) -> tuple[Response, int]:
    """Return the answer, and for how many rows it is."""
    inference = _served(gate, request)
    headers_of = request.headers.getlist
    json_length = protocol.json_length_of(headers_of(protocol.JSON_LENGTH))
    body = await request_body.read(request, limits.max_body_bytes)
    accepted = ",".join(headers_of("accept-encoding"))
    sample_id = request.headers.get(REQUEST_ID)

    def write(computed: Computed) -> tuple[Response, int]:
        answer = inference.write(computed.request_id, computed.outputs, computed.arrays)
        response = http_answers.response(answer, accepted)
        if papers.enabled:
            known_as = sample_id or computed.request_id
            response.headers[headers.RECEIPT] = papers.write(
                inference, known_as, computed.scores, answer.body
            )
        return response, computed.rows

    read = partial(protocol.parse, body, json_length)
    return await inference.answer(read, write, len(body), role, sample_id)


def _inference(gate: Gate, metrics: Metrics, limits: Limits, papers: Receipts) -> list[Route]:
    async def infer(request: Request) -> Response:
        role = ROLES.get(request.headers.get(headers.ROLE, ""), Role.DIRECT)
        start = clock.perf_counter()
        code = 500
        with metrics.in_flight.track_inprogress():
            try:
                response, rows = await _infer(gate, request, limits, role, papers)
                metrics.rows(role, rows)
                code = response.status_code
            except ModelyardError as error:
                metrics.rejected(type(error).__name__)
                response = http_errors.response(error)
                code = response.status_code
            except ClientDisconnect:
                metrics.rejected("ClientDisconnect")
                response = Response(status_code=CLIENT_CLOSED_REQUEST)
                code = CLIENT_CLOSED_REQUEST
            finally:
                metrics.answered(role, code, clock.perf_counter() - start)
        return response

    return [Route(f"{path}/infer", infer, methods=["POST"]) for path in MODEL]


def _observation(gate: Gate, metrics: Metrics) -> list[Route]:
    async def scrape(_: Request) -> Response:
        return Response(metrics.render(), headers={"content-type": CONTENT_TYPE})

    async def sketch(request: Request) -> Response:
        counts = gate.inference().recorder.snapshot(clock.now())
        return await documents.answer(counts, request.headers.get("accept", ""))

    async def kept(request: Request) -> Response:
        since, limit = answers.read_query(request.query_params)
        page = gate.inference().recorder.answers(clock.now(), since, limit)
        return await documents.answer(page, request.headers.get("accept", ""))

    async def profile(_: Request) -> Response:
        return Response(gate.inference().profile, media_type=http_errors.JSON)

    return [
        _get("/metrics", scrape),
        _get("/v1/sketch", sketch),
        _get("/v1/answers", kept),
        _get("/v1/profile", profile),
    ]


def _description(gate: Gate, limits: Limits) -> list[Route]:
    def document() -> dict[str, Any]:
        inference = gate.inference()
        return openapi.document(
            openapi.Service(
                model=inference.name,
                version=inference.version,
                digest=inference.digest,
                signature=inference.signature,
                max_rows=limits.max_rows,
                server_version=version.own(),
            )
        )

    async def described(_: Request) -> Response:
        return _json(document())

    async def page(_: Request) -> Response:
        headers = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}
        return Response(docs_page.render(document()), headers=headers, media_type="text/html")

    return [_get("/openapi.json", described), _get("/docs", page)]
