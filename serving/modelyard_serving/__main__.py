"""`modelyard-serve`: read the settings, listen, load the model behind the gate, answer."""

import asyncio
import gc
import logging
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Protocol

from modelyard_core import logs
from modelyard_core.errors import ModelyardError
from modelyard_serving import (
    fast_model,
    hot_path,
    last_words,
    loading,
    protection,
    rotation,
    server,
    settings,
)
from modelyard_serving.coalescing import Coalescer
from modelyard_serving.fast_model import FastModel
from modelyard_serving.gate import Gate
from modelyard_serving.grpc.server import GrpcServer
from modelyard_serving.held_bytes import HeldBytes
from modelyard_serving.late_app import LateApplication
from modelyard_serving.metrics import Metrics
from modelyard_serving.receipts import BadKey, Receipts
from modelyard_serving.tls import BadCertificate

if TYPE_CHECKING:
    from starlette.types import ASGIApp

logger = logging.getLogger(__name__)


class FastWay(Protocol):
    """What answers simple requests past everything that the others need."""

    def open(self, model: FastModel) -> None:
        """Answer with a proven model from now on."""


class Late(Protocol):
    """What is imported when it is needed, or when there is time."""

    async def prepare(self) -> object:
        """Import it."""


def compose(told: settings.ServeSettings) -> server.DrainingServer:
    """Return the whole program, wired: the model is loaded once the server listens."""
    gate = Gate()
    metrics = Metrics(told.model, told.version, told.digest, told.revision)
    shield = protection.of(told, gate, metrics)
    papers = Receipts(told.receipt_key_file, partial(metrics.rotated, "receipts"))
    coalescer = Coalescer(metrics, papers, together=told.coalesce)
    held = HeldBytes(told.limits.max_held_bytes)
    http = hot_path.protocol_of(told, gate, metrics, shield.access, coalescer, held)
    grpc = None
    if told.grpc_port is not None:
        grpc = GrpcServer(told, gate, metrics, shield, papers, held)
    fast: tuple[FastWay, ...] = (coalescer,) if grpc is None else (coalescer, grpc)

    def build() -> "ASGIApp":
        from modelyard_serving import app  # the web framework comes when it is needed

        return shield.guard(app.create_app(gate, metrics, told.limits, papers), metrics)

    @asynccontextmanager
    async def alongside() -> AsyncGenerator[None]:
        tasks = (
            asyncio.create_task(_come_up(gate, told, fast, late)),
            asyncio.create_task(rotation.watch((*shield.mounted, papers), told.rotation_seconds)),
        )
        yield
        for task in tasks:
            task.cancel()

    application = LateApplication(build, alongside)
    late: tuple[Late, ...] = (application,) if grpc is None else (grpc, application)
    return server.build(application, http, told, gate, shield, grpc)


async def _come_up(
    gate: Gate,
    told: settings.ServeSettings,
    fast: tuple[FastWay, ...],
    late: tuple[Late, ...],
) -> None:
    await open_gate(gate, told, fast)
    for part in late:
        await part.prepare()
    # What is here now stays: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()


async def open_gate(
    gate: Gate, told: settings.ServeSettings, fast: tuple[FastWay, ...] = ()
) -> None:
    """Load the model in a thread and open the gate, or leave the reason there."""
    loop = asyncio.get_running_loop()
    try:
        inference = await asyncio.to_thread(loading.load, told, loop.call_later)
        model = await asyncio.to_thread(fast_model.of, inference)
        for way in fast:
            way.open(model)
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
    logs.to_standard_error()
    try:
        program = compose(settings.serve_settings())
    except (settings.BadSetting, BadCertificate, BadKey) as error:
        logger.error("%s", error)  # noqa: TRY400
        return 2
    program.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
