"""The HTTP interface: watches, reports, health, metrics.  Routes and nothing else."""

import asyncio
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from modelyard_core import codec
from modelyard_core.errors import Rejected, ShapeError
from modelyard_core.watch import Watch
from modelyard_monitor import clock
from modelyard_monitor.service import Monitor

MAX_BODY = 256 * 1024
TOO_MANY = "TooManyWatches"


def create_app(
    monitor: Monitor,
    now: Callable[[], float] = clock.now,
    is_running: Callable[[], bool] = lambda: True,
) -> FastAPI:
    """Return the application; `is_running` says whether pods are being read."""
    app = FastAPI(title="modelyard-monitor", docs_url="/docs", redoc_url=None)
    _add_put(app, monitor, now)
    _add_reading(app, monitor, now)
    _add_operations(app, monitor, is_running)
    return app


def _add_put(app: FastAPI, monitor: Monitor, now: Callable[[], float]) -> None:
    @app.put("/v1/watches/{namespace}/{name}")
    async def put_watch(namespace: str, name: str, request: Request) -> Response:
        """Begin or change a watch; the answer is its report."""
        body = await request.body()
        if len(body) > MAX_BODY:
            return _error(413, f"a watch has at most {MAX_BODY} bytes")
        try:
            watch = codec.loads(Watch, body)
            report = await asyncio.to_thread(monitor.put, namespace, name, watch, now())
        except ShapeError as error:
            return _error(400, str(error))
        except Rejected as error:
            return _error(429 if error.reason == TOO_MANY else 422, error.sentence)
        return JSONResponse(codec.encode(report))


def _add_reading(app: FastAPI, monitor: Monitor, now: Callable[[], float]) -> None:
    @app.get("/v1/watches/{namespace}/{name}")
    async def get_report(namespace: str, name: str) -> Response:
        """Return the report of a watch."""
        report = await asyncio.to_thread(monitor.report, namespace, name, now())
        if report is None:
            return _error(404, f"there is no watch {namespace}/{name}")
        return JSONResponse(codec.encode(report))

    @app.delete("/v1/watches/{namespace}/{name}")
    async def delete_watch(namespace: str, name: str) -> Response:
        """End a watch; silent where there is none."""
        await asyncio.to_thread(monitor.delete, namespace, name)
        return Response(status_code=204)


def _add_operations(app: FastAPI, monitor: Monitor, is_running: Callable[[], bool]) -> None:
    @app.get("/healthz")
    async def healthz() -> dict[str, Any]:
        """Answer while the event loop turns."""
        return {"status": "ok"}

    @app.get("/readyz")
    async def readyz() -> Response:
        """Answer 200 while the database answers and pods are being read."""
        if not is_running():
            return _error(503, "pods are not being read")
        watches = await asyncio.to_thread(monitor.watches)
        return JSONResponse({"status": "ok", "watches": len(watches)})

    @app.get("/metrics")
    async def metrics() -> Response:
        """Return the metrics in Prometheus' text format."""
        monitor.metrics.database_bytes.set(await asyncio.to_thread(lambda: monitor.database.size))
        return Response(generate_latest(monitor.metrics.registry), media_type=CONTENT_TYPE_LATEST)


def _error(status: int, sentence: str) -> JSONResponse:
    return JSONResponse({"error": sentence}, status_code=status)
