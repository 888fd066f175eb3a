"""The routes, and nothing else: HTTP in, a call into the room, HTTP out."""

from collections.abc import Awaitable, Callable
from functools import partial
from importlib.metadata import version as version_of
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

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

Endpoint = Callable[[Request], Awaitable[Response]]


def create_app(
    gate: Gate, metrics: Metrics, limits: Limits, papers: Receipts = receipts.NONE
) -> FastAPI:
    """Return the application; the gate decides from moment to moment whether a model answers."""
    app = FastAPI(redirect_slashes=False, openapi_url=None)  # its document knows no model
    metrics.ready.set_function(lambda: float(gate.is_ready()))
    _add_error_answers(app)
    _add_inference(app, gate, metrics, limits, papers)
    _add_health(app, gate)
    _add_model(app, gate)
    _add_observation(app, gate, metrics)
    _add_description(app, gate, limits)
    return app


def _json(document: object) -> Response:
    return Response(orjson.dumps(document), media_type=http_errors.JSON)


def _add_error_answers(app: FastAPI) -> None:
    @app.exception_handler(HTTPException)
    async def routing(request: Request, error: HTTPException) -> Response:
        sentence = f"{request.method} {request.url.path}: {error.detail}"
        return Response(
            http_errors.body(sentence), error.status_code, error.headers, http_errors.JSON
        )

    @app.exception_handler(ModelyardError)
    async def ours(_: Request, error: ModelyardError) -> Response:
        return http_errors.response(error)

    @app.exception_handler(Exception)
    async def bug(_: Request, __: Exception) -> Response:
        return Response(http_errors.body("internal error"), 500, media_type=http_errors.JSON)


def _add_health(app: FastAPI, gate: Gate) -> None:
    @app.get("/v2/health/live")
    async def live() -> Response:
        return _json({"live": True})

    @app.get("/v2/health/ready")
    async def ready() -> Response:
        gate.check_ready()
        return _json({"ready": True})

    @app.get("/v2")
    @app.get("/v2/")
    async def server() -> Response:
        return _json(protocol.server_metadata(version_of("modelyard")))


def _served(gate: Gate, request: Request) -> Inference:
    """Return the model if it is the one that the path names."""
    inference = gate.inference()
    inference.check_name(request.path_params["name"], request.path_params.get("version"))
    return inference


def _add_model(app: FastAPI, gate: Gate) -> None:
    @app.get("/v2/models/{name}")
    @app.get("/v2/models/{name}/versions/{version}")
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

    @app.get("/v2/models/{name}/ready")
    @app.get("/v2/models/{name}/versions/{version}/ready")
    async def model_ready(request: Request) -> Response:
        inference = _served(gate, request)
        gate.check_ready()
        return _json({"name": inference.name, "ready": True})

    @app.get("/v2/models/{name}/stats")
    @app.get("/v2/models/{name}/versions/{version}/stats")
    async def statistics(request: Request) -> Response:
        inference = _served(gate, request)
        return _json(inference.statistics.document(inference.name, inference.version))


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
        answer = inference.write(computed)
        response = http_answers.response(answer, accepted)
        if papers.enabled:
            known_as = sample_id or computed.request_id
            response.headers[headers.RECEIPT] = papers.write(
                inference, known_as, computed.scores, answer.body
            )
        return response, computed.rows

    read = partial(protocol.parse, body, json_length)
    return await inference.answer(read, write, len(body), role, sample_id)


def _add_inference(
    app: FastAPI, gate: Gate, metrics: Metrics, limits: Limits, papers: Receipts
) -> None:
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

    # Plain routes: what FastAPI would add for arguments costs more than the inference.
    for path in ("/v2/models/{name}/infer", "/v2/models/{name}/versions/{version}/infer"):
        app.add_route(path, infer, methods=["POST"])


def _add_observation(app: FastAPI, gate: Gate, metrics: Metrics) -> None:
    @app.get("/metrics")
    async def scrape() -> Response:
        return Response(metrics.render(), headers={"content-type": CONTENT_TYPE})

    @app.get("/v1/sketch")
    async def sketch(request: Request) -> Response:
        counts = gate.inference().recorder.snapshot(clock.now())
        return await documents.answer(counts, request.headers.get("accept", ""))

    @app.get("/v1/answers")
    async def kept(request: Request) -> Response:
        since, limit = answers.read_query(request.query_params)
        page = gate.inference().recorder.answers(clock.now(), since, limit)
        return await documents.answer(page, request.headers.get("accept", ""))

    @app.get("/v1/profile")
    async def profile() -> Response:
        return Response(gate.inference().profile, media_type=http_errors.JSON)


def _add_description(app: FastAPI, gate: Gate, limits: Limits) -> None:
    def document() -> dict[str, Any]:
        inference = gate.inference()
        return openapi.document(
            openapi.Service(
                model=inference.name,
                version=inference.version,
                digest=inference.digest,
                signature=inference.signature,
                max_rows=limits.max_rows,
                server_version=version_of("modelyard"),
            )
        )

    @app.get("/openapi.json")
    async def described() -> Response:
        return _json(document())

    @app.get("/docs")
    async def page() -> Response:
        headers = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}
        return Response(docs_page.render(document()), headers=headers, media_type="text/html")
