"""`modelyard-serve`: read the settings, listen, load the model behind the gate, answer."""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

from fastapi import FastAPI

from modelyard_core.errors import ModelyardError
from modelyard_serving import (
    app,
    fast_model,
    hot_path,
    last_words,
    loading,
    logs,
    protection,
    rotation,
    server,
    settings,
)
from modelyard_serving.coalescing import Coalescer
from modelyard_serving.gate import Gate
from modelyard_serving.grpc_server import GrpcServer
from modelyard_serving.metrics import Metrics
from modelyard_serving.receipts import BadKey, Receipts
from modelyard_serving.rotation import Mounted
from modelyard_serving.tls import BadCertificate

logger = logging.getLogger(__name__)

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def compose(told: settings.ServeSettings) -> server.DrainingServer:
    """Return the whole program, wired: the model is loaded once the server listens."""
    gate = Gate()
    metrics = Metrics(told.model, told.version, told.digest, told.revision)
    shield = protection.of(told, gate, metrics)
    coalescer = Coalescer(metrics, together=told.coalesce)
    papers = Receipts(told.receipt_key_file, partial(metrics.rotated, "receipts"))
    application = app.create_app(gate, metrics, told.limits, papers)
    mounted = (*shield.mounted, papers)
    application.router.lifespan_context = _loading_behind(gate, coalescer, told, mounted)
    http = hot_path.protocol_of(told, gate, metrics, shield.access, coalescer)
    grpc = None if told.grpc_port is None else GrpcServer(told, gate, metrics, shield)
    return server.build(shield.guard(application, metrics), http, told, gate, shield, grpc)


def _loading_behind(
    gate: Gate, coalescer: Coalescer, told: settings.ServeSettings, mounted: tuple[Mounted, ...]
) -> Lifespan:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        tasks = (
            asyncio.create_task(open_gate(gate, coalescer, told)),
            asyncio.create_task(rotation.watch(mounted, told.rotation_seconds)),
        )
        yield
        for task in tasks:
            task.cancel()

    return lifespan


async def open_gate(gate: Gate, coalescer: Coalescer, told: settings.ServeSettings) -> None:
    """Load the model in a thread and open the gate, or leave the reason there."""
    loop = asyncio.get_running_loop()
    try:
        inference = await asyncio.to_thread(loading.load, told, loop.call_later)
        if told.receipt_key_file is None:  # the fast way writes no receipts
            coalescer.open(await asyncio.to_thread(fast_model.of, inference))
    except ModelyardError as error:
        gate.fail(str(error))
        if told.termination_log is not None:
            last_words.leave(told.termination_log, str(error))
        logger.error("not ready, and will not be: %s", error)  # noqa: TRY400
        return
    gate.open(inference)
    logger.info("ready: %s version %s, %s", told.model, told.version, told.digest)


def main() -> int:
    """Serve until told to stop; return the exit code."""
    logs.start()
    try:
        program = compose(settings.serve_settings())
    except (settings.BadSetting, BadCertificate, BadKey) as error:
        logger.error("%s", error)  # noqa: TRY400
        return 2
    program.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
