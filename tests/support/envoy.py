"""A router on this machine: the real agent, the real Envoy, small backends and a name server."""

import socket
import socketserver
import struct
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import sqrt
from pathlib import Path

from modelyard_core import codec
from modelyard_core.routes import Arm, Mirror, RouterCounters, RouterState, RouteTable
from modelyard_router import launch
from modelyard_router.admin import EnvoyAdmin
from modelyard_router.agent import Agent
from modelyard_router.http_server import AgentServer
from modelyard_router.settings import Settings
from modelyard_router.waiting import until
from support.ports import free_port

PATIENCE = 20.0
INFER = "/v2/models/rain/infer"


# ---- names -----------------------------------------------------------------------------------------


class Names(socketserver.ThreadingUDPServer):
    """Answers A queries from a mapping; what is not in it does not exist."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _NameHandler)
        self.addresses: dict[str, str] = {}
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def port(self) -> int:
        return self.server_address[1]

    def resolver(self) -> str:
        """Return the lines that make Envoy ask here."""
        return f"""
typed_dns_resolver_config:
  name: envoy.network.dns_resolver.cares
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig
    resolvers: [{{socket_address: {{address: 127.0.0.1, port_value: {self.port}, protocol: UDP}}}}]
    dns_resolver_options: {{no_default_search_domain: true}}
"""


class _NameHandler(socketserver.BaseRequestHandler):
    def handle(self):
        query, sock = self.request
        end = query.index(b"\0", 12) + 5
        question = query[12:end]
        name = question[1 : 1 + question[0]].decode()
        (kind,) = struct.unpack("!H", question[-4:-2])
        address = self.server.addresses.get(name)
        found = address is not None and kind == 1
        code = 0 if address is not None else 3
        head = query[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, int(found), 0, 0)
        answer = b""
        if found:
            answer = struct.pack("!HHHIH", 0xC00C, 1, 1, 1, 4) + socket.inet_aton(address)
        sock.sendto(head + question + answer, self.client_address)


# ---- backends --------------------------------------------------------------------------------------


@dataclass
class Seen:
    """What one backend was asked."""

    roles: Counter = field(default_factory=Counter)
    shadows: Counter = field(default_factory=Counter)


class Backend(ThreadingHTTPServer):
    """A revision.  `x-status` and `x-delay` of a request decide the answer."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: str, port: int):
        self.seen = Seen()
        self.lock = threading.Lock()
        self.release = threading.Event()
        super().__init__((address, port), _BackendHandler)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.release.set()
        self.shutdown()
        self.server_close()


class _BackendHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", "0")))
        with self.server.lock:
            self.server.seen.roles[self.headers.get("x-modelyard-role")] += 1
            self.server.seen.shadows[self.headers.get("x-modelyard-shadow")] += 1
        if self.headers.get("x-hang"):
            self.server.release.wait(PATIENCE)
        status = int(self.headers.get("x-status", "200"))
        head = f"HTTP/1.1 {status} X\r\ncontent-length: 2\r\nx-modelyard-revision: forged\r\n\r\nok"
        self.wfile.write(head.encode())

    def do_GET(self):
        self.do_POST()

    def log_message(self, *_):
        pass


@contextmanager
def stuck_backend(address: str, port: int) -> Iterator[None]:
    """Accept connections and never read from them."""
    with socket.socket() as listener, ExitStack() as held:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.bind((address, port))
        listener.listen(128)

        def accept() -> None:
            try:
                while True:
                    held.enter_context(listener.accept()[0])
            except OSError:
                return

        threading.Thread(target=accept, daemon=True).start()
        yield
        listener.shutdown(socket.SHUT_RDWR)


# ---- the router ------------------------------------------------------------------------------------


def table(version, *, canary=None, weight=0, mirror=None, percent=100, stable="rain-a"):
    """Return a table: stable, a canary with some weight, a mirrored revision."""
    return RouteTable(
        version=version,
        stable=Arm(stable, stable, 1000 - weight),
        canary=Arm(canary, canary, weight) if canary else None,
        mirror=Mirror(mirror, mirror, percent) if mirror else None,
    )


WISHES = (
    table(2, canary="rain-b", weight=0),
    table(3, canary="rain-b", weight=500),
    table(4, canary="rain-b", weight=1000),
    table(5, stable="rain-b"),
    table(6, stable="rain-b", canary="rain-c", weight=100),
    table(7, stable="rain-b"),
)
"""Tables by which clusters come and go, after a first one."""


def replace_file(path: Path, text: str) -> None:
    """Write the routes file as a mounted ConfigMap does: whole, at once."""
    draft = path.with_suffix(".draft")
    draft.write_text(text)
    draft.rename(path)


class Router:
    """One router pod: agent and Envoy on ports of their own, in one folder."""

    def __init__(self, folder: Path, names: Names, serving_port: int, serving_grpc_port: int):
        self.settings = Settings(
            routes_file=folder / "routes.json",
            xds=folder / "xds",
            http_port=free_port(),
            admin_port=free_port(),
            agent_port=free_port(),
            serving_port=serving_port,
            serving_grpc_port=serving_grpc_port,
            grpc_port=free_port(),
            concurrency=1,
            minimum_drain_seconds=0.0,
            drain_limit_seconds=PATIENCE,
            last_read_seconds=PATIENCE,
        )
        self.names = names
        self.log_path = folder / "envoy.log"
        self.log = self.log_path.open("wb")
        self.envoy = EnvoyAdmin(self.settings.admin_port)
        self.clients = []

    # -- its processes --

    def start_agent(self):
        self.stop = threading.Event()
        self.agent = Agent(self.settings)
        self.server = AgentServer(self.settings.agent_port, self.agent, self.envoy)
        self.threads = [
            threading.Thread(target=self.agent.run, args=(self.stop,)),
            threading.Thread(target=self.server.serve_forever, args=(0.02,)),
        ]
        for thread in self.threads:
            thread.start()

    def stop_agent(self):
        self.stop.set()
        self.server.shutdown()
        self.server.server_close()
        for thread in self.threads:
            thread.join(PATIENCE)

    def start_envoy(self):
        start = launch.bootstrap(self.settings) + self.names.resolver()
        argv = launch.arguments(self.settings, start)
        self.process = subprocess.Popen(
            argv, executable=launch.binary(), stdout=self.log, stderr=self.log
        )

    def kill_envoy(self):
        self.process.kill()
        self.process.wait(PATIENCE)

    def close(self):
        for client in self.clients:
            client.close()
        self.stop_agent()
        self.kill_envoy()
        self.log.close()

    # -- its table --

    def write(self, text: str):
        replace_file(self.settings.routes_file, text)

    def want(self, wish: RouteTable):
        self.write(codec.dumps(wish))

    def apply(self, wish: RouteTable):
        """Write a table and wait until it is applied."""
        self.want(wish)
        assert until(lambda: self.state().applied == wish.version, PATIENCE), self.state()

    # -- what it says --

    def state(self) -> RouterState:
        return codec.loads(RouterState, self.page("/v1/routes"))

    def counters(self) -> RouterCounters:
        return codec.loads(RouterCounters, self.page("/v1/counters"))

    def page(self, path: str) -> bytes:
        connection = HTTPConnection("127.0.0.1", self.settings.agent_port, timeout=PATIENCE)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                raise OSError(body)
            return body
        finally:
            connection.close()

    # -- its clients --

    def connections(self) -> int:
        """Return how many connections clients have made."""
        return sum(self.envoy._values(r"^http\.ingress\.downstream_cx_total$").values())

    def client(self, timeout=PATIENCE) -> HTTPConnection:
        """Return a keep-alive connection that ends with the router."""
        connection = HTTPConnection("127.0.0.1", self.settings.http_port, timeout=timeout)
        self.clients.append(connection)
        return connection

    def ask(self, connection: HTTPConnection, body=b"{}", path=INFER, **headers):
        """Return (status, headers) of one request."""
        named = {f"x-{name.replace('_', '-')}": str(value) for name, value in headers.items()}
        connection.request("POST", path, body, named)
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.headers

    def ends_connections(self) -> bool:
        """Ask by a connection of its own whether answers end theirs; it does not stay open."""
        connection = self.client()
        try:
            return self.ask(connection)[1].get("connection") == "close"
        finally:
            connection.close()

    def send(self, count, body=b"{}", path=INFER, **headers) -> Counter:
        """Send requests one after the other; return the answers by (status, revision)."""
        found: Counter = Counter()
        connection = self.client()
        for _ in range(count):
            status, answer = self.ask(connection, body, path, **headers)
            found[status, answer.get("x-modelyard-revision")] += 1
        connection.close()
        return found


def is_share(found: int, sent: int, share: float) -> bool:
    """Return whether so many of the requests are a share that was drawn for each.

    Within five standard deviations, which one of a million fair draws leaves; one of 400 leaves three.
    """
    return abs(found - sent * share) <= 5 * sqrt(sent * share * (1 - share))


def eventually(condition, seconds=PATIENCE):
    """Wait until a condition holds; fail with its last answer otherwise."""
    assert until(condition, seconds), f"not within {seconds:g} s"
