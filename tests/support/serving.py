"""The serving room in a test: in this process behind an ASGI client, or as the real program."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import httpx

from modelyard_serving import app, loading
from modelyard_serving.gate import Gate
from modelyard_serving.inference import Inference
from modelyard_serving.metrics import Metrics
from modelyard_serving.settings import Limits, ServeSettings
from support import ending
from support.bundles import Bundle

INFER = "/v2/models/rain/infer"
PATIENCE_SECONDS = 120
"""Nothing takes so long, but on a machine that is far too busy."""


def settings(bundle: Bundle, **limits) -> ServeSettings:
    """Return the settings that serve a bundle as model `rain`, version 1."""
    return ServeSettings("rain", "1", bundle.digest, folder=bundle.folder, limits=Limits(**limits))


@dataclass(slots=True)
class Served:
    """A loaded bundle in this process."""

    http: httpx.AsyncClient
    inference: Inference
    gate: Gate
    metrics: Metrics

    async def infer(self, *tensors, **more) -> httpx.Response:
        """Ask for an inference with the tensors."""
        return await self.http.post(INFER, json={"inputs": list(tensors), **more})


@asynccontextmanager
async def serving(bundle: Bundle, **limits) -> AsyncIterator[Served]:
    """Serve a bundle in this process."""
    told = settings(bundle, **limits)
    inference = loading.load(told, asyncio.get_running_loop().call_later)
    gate = Gate()
    gate.open(inference)
    metrics = Metrics("rain", "1", bundle.digest, "")
    async with client(gate, metrics, told.limits) as http:
        yield Served(http, inference, gate, metrics)
    inference.workers.close()


@asynccontextmanager
async def client(gate: Gate, metrics: Metrics, limits: Limits) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client of the application without a network."""
    transport = httpx.ASGITransport(
        app.create_app(gate, metrics, limits), raise_app_exceptions=False
    )
    async with httpx.AsyncClient(transport=transport, base_url="http://rain") as http:
        yield http


def check_error(answer: httpx.Response, code: int, sentence: str) -> None:
    """Check that an answer is an error in the protocol's form."""
    assert answer.status_code == code, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json()) == ["error"]
    assert re.search(sentence, answer.json()["error"]), answer.text


def tensor(name="x", datatype="FP32", shape=(1,), data=None, **more) -> dict:
    """Return an input of a request."""
    return {"name": name, "datatype": datatype, "shape": list(shape), "data": data, **more}


def rows(temp, wind=None, station=None) -> list[dict]:
    """Return the inputs of a rain request; what is left out is calm."""
    count = len(temp)
    return [
        tensor("temp", "FP32", (count, 1), list(temp)),
        tensor("wind", "FP32", (count, 1), [0.15] * count if wind is None else list(wind)),
        tensor("station", "BYTES", (count, 1), ["north"] * count if station is None else station),
    ]


class Program:
    """`modelyard-serve` as a process of its own, and the lines that it logs."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.port = int(self.wait_for("running on").split("127.0.0.1:")[1].split(" ")[0])
        self.url = f"http://127.0.0.1:{self.port}"

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._more:
                self.lines.append(line.decode())
                self._more.notify_all()

    def wait_for(self, text: str) -> str:
        """Return the first log line with the text, as soon as it is there."""

        def found() -> str | None:
            return next((line for line in self.lines if text in line), None)

        with self._more:
            line = self._more.wait_for(found, timeout=PATIENCE_SECONDS)
        assert line, f"no {text!r} in {self.lines}"
        return line

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    def client(self) -> httpx.AsyncClient:
        """Return a client that knows where the program is, and waits long."""
        return httpx.AsyncClient(base_url=self.url, timeout=PATIENCE_SECONDS)

    def get(self, path: str) -> httpx.Response:
        """Ask for a page."""
        return httpx.get(self.url + path, timeout=PATIENCE_SECONDS)

    def connect(self) -> socket.socket:
        """Open a plain connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_SECONDS)

    def converse(self, data: bytes) -> bytes:
        """Send bytes on a connection of their own and return all that comes until it closes."""
        with self.connect() as connection:
            connection.sendall(data)
            return read_all(connection)


def read_all(connection: socket.socket) -> bytes:
    """Return what a connection sends until it ends."""
    pieces = []
    while piece := connection.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


@contextmanager
def program(bundle: Bundle, **variables: object) -> Iterator[Program]:
    """Run the real program on a free port until the block ends."""
    environment = {
        **os.environ,
        "MODELYARD_MODEL_NAME": "rain",
        "MODELYARD_MODEL_VERSION": "1",
        "MODELYARD_DIGEST": bundle.digest,
        "MODELYARD_MODEL_DIR": str(bundle.folder),
        "MODELYARD_HOST": "127.0.0.1",
        "MODELYARD_PORT": "0",
        "MODELYARD_GRPC_PORT": "off",
        "MODELYARD_TERMINATION_LOG": os.devnull,
        **{f"MODELYARD_{name}": str(value) for name, value in variables.items()},
    }
    command = ending.with_us([sys.executable, "-m", "modelyard_serving"])
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
        try:
            yield Program(process)
        finally:
            process.kill()
