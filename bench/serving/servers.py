"""The servers under test: how each is started, and one running server."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hack import caches
from hack.terminal import Failure

from bench.serving import environments, machine
from bench.serving.requests import Dialect, Echo, OpenInference, Rows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bench.serving.models import Model
    from bench.serving.requests import Question

PEERS = Path(__file__).parent / "peers"
START_SECONDS = 90
STOP_SECONDS = 3
POLL_SECONDS = 0.002
SETTLE_SECONDS = 5.0
QUIET_AFTER_SECONDS, QUIET_SECONDS = 0.3, 0.015
"""A server is at rest when it has used no more processor time than that in such a while."""
RIGHT = b"right"


@dataclass(frozen=True, slots=True)
class Start:
    """What a server is started with."""

    model: Model
    port: int
    grpc_port: int
    metrics_port: int


@dataclass(frozen=True, slots=True)
class Kind:
    """One of the servers that can be measured."""

    title: str
    command: Callable[[Start], list[str | Path]]
    environment: Callable[[Start], Mapping[str, str]]
    dialect: Callable[[str], Dialect] = OpenInference
    """From the model's name to the form of its requests."""
    peer: str = ""
    """Whose environment it needs; empty for the repository's own."""
    packages: tuple[str, ...] = ()
    """Whose versions are named beside its figures."""
    speaks_http: bool = True
    scraped: tuple[str, ...] = ()
    """What is read from it all the time in a cluster."""


def _own(start: Start) -> dict[str, str]:
    return {
        "MODELYARD_MODEL_NAME": start.model.name,
        "MODELYARD_MODEL_VERSION": "1",
        "MODELYARD_DIGEST": start.model.digest,
        "MODELYARD_MODEL_DIR": str(start.model.folder),
        "MODELYARD_HOST": "127.0.0.1",
        "MODELYARD_PORT": str(start.port),
        "MODELYARD_GRPC_PORT": str(start.grpc_port),
        "MODELYARD_DRAIN_SECONDS": "0",
        "MODELYARD_TERMINATION_LOG": os.devnull,
    }


def _plain(start: Start) -> dict[str, str]:
    return {
        "BENCH_MODEL": str(start.model.onnx),
        "BENCH_PORT": str(start.port),
        "BENCH_GRPC_PORT": str(start.grpc_port),
    }


def _mlserver(start: Start) -> dict[str, str]:
    return {
        **_plain(start),
        "MLSERVER_PARALLEL_WORKERS": "0",
        "MLSERVER_DEBUG": "false",
        "MLSERVER_HOST": "127.0.0.1",
        "MLSERVER_HTTP_PORT": str(start.port),
        "MLSERVER_GRPC_PORT": str(start.grpc_port),
        "MLSERVER_METRICS_PORT": str(start.metrics_port),
        "PYTHONPATH": str(PEERS),
    }


def _bentoml(start: Start) -> dict[str, str]:
    return {
        **_plain(start),
        "BENTOML_DO_NOT_TRACK": "True",
        "BENTOML_HOME": str(caches.cache_root() / "bench" / "bentoml-home"),
    }


def _script(name: str, peer: str = "") -> Callable[[Start], list[str | Path]]:
    def command(_: Start) -> list[str | Path]:
        return [_program(peer, "python") if peer else sys.executable, PEERS / name]

    return command


def _program(peer: str, name: str) -> Path:
    return environments.folder_of(peer) / "bin" / name


KINDS = {
    "ours": Kind(
        "Modelyard",
        lambda _: [sys.executable, "-m", "modelyard_serving"],
        _own,
        scraped=("/metrics", "/v1/sketch"),
    ),
    "echo": Kind("uvicorn, bare ASGI echo", _script("echo_server.py"), _plain, Echo),
    "mlserver": Kind(
        "MLServer, parallel_workers=0",
        lambda _: [_program("mlserver", "mlserver"), "start", PEERS / "mlserver_repository"],
        _mlserver,
        peer="mlserver",
        packages=("mlserver", "fastapi", "uvicorn", "uvloop", "grpcio", "onnxruntime"),
    ),
    "kserve": Kind(
        "KServe SDK",
        _script("kserve_server.py", "kserve"),
        _plain,
        peer="kserve",
        packages=("kserve", "fastapi", "uvicorn", "uvloop", "grpcio", "onnxruntime"),
    ),
    "litserve": Kind(
        "LitServe",
        _script("litserve_server.py", "litserve"),
        _plain,
        Rows,
        peer="litserve",
        packages=("litserve", "fastapi", "uvicorn", "uvloop", "onnxruntime"),
    ),
    "bentoml": Kind(
        "BentoML",
        lambda start: [
            *(_program("bentoml", "bentoml"), "serve", "bentoml_service:Iris"),
            *("--working-dir", PEERS, "--host", "127.0.0.1", "--port", str(start.port)),
        ],
        _bentoml,
        Rows,
        peer="bentoml",
        packages=("bentoml", "starlette", "uvicorn", "onnxruntime"),
    ),
    "fastapi": Kind("plain FastAPI", _script("fastapi_server.py"), _plain),
    "grpcaio": Kind("plain grpc.aio", _script("grpc_aio_server.py"), _plain, speaks_http=False),
}
"""By the names that the command line takes."""


@dataclass(slots=True)
class Server:
    """A kind of server with a model, running on given cores; use it as a context."""

    name: str
    model: Model
    folder: Path
    """Where it runs and where its log is kept."""
    cores: frozenset[int]
    more: Mapping[str, str] = field(default_factory=dict)
    """Variables that differ from the usual."""
    port: int = 0
    grpc_port: int = 0
    _process: subprocess.Popen[bytes] | None = None

    @property
    def kind(self) -> Kind:
        """How servers of this name are started."""
        return KINDS[self.name]

    def start(self, question: Question) -> float:
        """Start it, and return the seconds from the fork to the first right answer.

        Raises:
            Failure: there is none; the sentence has the last lines of the log.
        """
        self.port, self.grpc_port, metrics_port = free_ports(3)
        told = Start(self.model, self.port, self.grpc_port, metrics_port)
        self.folder.mkdir(parents=True, exist_ok=True)
        began = time.perf_counter()
        command = [str(part) for part in self.kind.command(told)]
        if not Path(command[0]).exists():
            raise Failure(f"{self.kind.title} is not installed")
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**os.environ, **self.kind.environment(told), **self.more},
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=lambda: os.sched_setaffinity(0, self.cores),  # noqa: PLW1509 - no threads here
            )
        self._wait(self._process, question, until=began + START_SECONDS)
        return time.perf_counter() - began

    def _wait(self, process: subprocess.Popen[bytes], question: Question, until: float) -> None:
        last = b""
        while time.perf_counter() < until and process.poll() is None:
            if not self.kind.speaks_http:
                if is_open(self.grpc_port):
                    return
            elif (last := self._ask(question)) == RIGHT:
                return
            time.sleep(POLL_SECONDS)
        log = (self.folder / "log").read_text(errors="replace").strip().splitlines()[-5:]
        raise Failure(f"{self.kind.title} does not answer: {last[:300]!r}; " + " | ".join(log))

    def _ask(self, question: Question) -> bytes:
        """Return `RIGHT`, or what came instead."""
        dialect = self.kind.dialect(self.model.name)
        answer = ask(self.port, dialect.request(question))
        head, _, body = answer.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            return answer
        dialect.judge(question, body)
        return RIGHT

    def settle(self) -> None:
        """Wait until it has done what it puts off until after its first answer."""
        until = time.perf_counter() + SETTLE_SECONDS
        before, now = -1.0, self.processor_seconds()
        while now - before > QUIET_SECONDS and time.perf_counter() < until:
            time.sleep(QUIET_AFTER_SECONDS)
            before, now = now, self.processor_seconds()

    def pause(self) -> None:
        """Stop all its processes, so that an idle server costs the others nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def coming_first(self) -> contextlib.AbstractContextManager[None]:
        """Let all its processes come first on their cores meanwhile, where that is allowed."""
        return machine.coming_first(self._family())

    def _family(self) -> list[int]:
        return machine.family(self._process.pid) if self._process else []

    def _signal(self, number: signal.Signals) -> None:
        for pid in self._family():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def processor_seconds(self) -> float:
        """Return the processor time of all its processes so far."""
        return machine.processor_seconds(self._family())

    def memory(self) -> machine.Memory:
        """Return the memory of all its processes."""
        return machine.memory(self._family())

    def scrape(self) -> None:
        """Read what is read from it in a cluster, so that it has loaded what that needs.

        Raises:
            Failure: it does not answer.
        """
        for path in self.kind.scraped:
            answer = ask(self.port, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            if not answer.startswith(b"HTTP/1.1 200"):
                raise Failure(f"{self.kind.title} does not answer {path}: {answer[:300]!r}")

    def stop(self) -> None:
        """End all its processes."""
        if self._process is None:
            return
        self.resume()
        pids = self._family()
        self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        for pid in {*pids, *self._family()}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        self._process = None


def ask(port: int, request: bytes) -> bytes:
    """Send a request on a connection of its own; return the answer, or nothing if there is none."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(request)
            return _read_answer(connection)
    except OSError:
        return b""


def is_open(port: int) -> bool:
    """Return whether somebody listens."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _read_answer(connection: socket.socket) -> bytes:
    data = b""
    while piece := connection.recv(1 << 16):
        data += piece
        head, found, body = data.partition(b"\r\n\r\n")
        if found and len(body) >= _length(head):
            break
    return data


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return int(value)
    return 0


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()
