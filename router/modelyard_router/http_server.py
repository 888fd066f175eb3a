"""What the agent answers: `/v1/routes`, `/v1/counters`, `/v1/reads`, `/metrics`, `/healthz`."""

import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, TypeAlias

from modelyard_core import codec
from modelyard_core.routes import RouterState
from modelyard_router.admin import EnvoyAdmin
from modelyard_router.agent import Agent
from modelyard_router.waiting import NOT_YET

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

JSON = "application/json"
TEXT = "text/plain; version=0.0.4; charset=utf-8"
READER_SECONDS = 10.0
"""How long a reader may be silent before it is cut."""

Answer: TypeAlias = tuple[str, bytes]


class Reads:
    """Which readings of the counters have begun, and the newest of those that were answered.

    A drained pod leaves when a reading that began after its last request has been answered.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun = 0
        self._answered = 0

    def begin(self) -> int:
        """Return the number of a new reading."""
        with self._lock:
            self._begun += 1
            return self._begun

    def answered(self, number: int) -> None:
        """Note that a reading reached its reader."""
        with self._lock:
            self._answered = max(self._answered, number)

    def document(self) -> dict[str, int]:
        """Return both numbers for `modelyard-router drain`."""
        with self._lock:
            return {"begun": self._begun, "answered": self._answered}


class AgentServer(ThreadingHTTPServer):
    """The agent's HTTP side; each reader has a thread that ends with it."""

    daemon_threads = True

    def __init__(self, port: int, agent: Agent, envoy: EnvoyAdmin) -> None:
        super().__init__(("0.0.0.0", port), _Handler)  # noqa: S104  (a pod's port)
        self.agent = agent
        self.envoy = envoy
        self.reads = Reads()
        self.pages: dict[str, Callable[[], Answer]] = {
            "/healthz": lambda: (JSON, b"{}"),
            "/v1/routes": lambda: (JSON, codec.dumps(agent.state).encode()),
            "/v1/reads": lambda: (JSON, json.dumps(self.reads.document()).encode()),
            "/metrics": self._metrics,
        }

    def _metrics(self) -> Answer:
        own = _own_metrics(self.agent.state)
        try:
            return TEXT, self.envoy.prometheus() + own
        except NOT_YET:
            return TEXT, own


class _Handler(BaseHTTPRequestHandler):
    server: AgentServer
    protocol_version = "HTTP/1.1"
    timeout = READER_SECONDS

    def do_GET(self) -> None:
        if self.path == "/v1/counters":
            self._counters()
        elif self.path in self.server.pages:
            self._answer(200, *self.server.pages[self.path]())
        else:
            self._answer(404, JSON, b'{"error": "no such page"}')

    def _counters(self) -> None:
        number = self.server.reads.begin()
        try:
            body = codec.dumps(self.server.agent.counters()).encode()
        except NOT_YET as error:
            self._answer(503, JSON, json.dumps({"error": f"Envoy: {error}"}).encode())
            return
        self._answer(200, JSON, body)
        self.server.reads.answered(number)

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (its name)
        log.debug(format, *args)


def _own_metrics(state: RouterState) -> bytes:
    values = {
        "modelyard_router_table_desired_version": state.desired or 0,
        "modelyard_router_table_applied_version": state.applied or 0,
        "modelyard_router_table_waiting": int(bool(state.waiting)),
        "modelyard_router_table_invalid": int(bool(state.error)),
    }
    lines = [f"# TYPE {name} gauge\n{name} {value}\n" for name, value in values.items()]
    return "".join(lines).encode()
