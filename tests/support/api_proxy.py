"""Stands between one operator and its API server: counts the writes, and ends it after one.

A write is every request that changes something but the election's.  The operator dies after the
API server has done the write and before it can hear of it: the worst moment there is.
"""

import http.client
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from support.api_server import ApiServer, write_kubeconfig

WRITES = ("POST", "PUT", "PATCH", "DELETE")
_HOP = ("connection", "transfer-encoding", "keep-alive", "content-length")


class Proxy(ThreadingHTTPServer):
    """Forwards to one API server.  `deadly` holds the numbers of the writes that kill."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, server: ApiServer, kill: Callable[[], None], deadly: set[int]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = urlsplit(server.url)
        self.tls = server.tls()
        self.kill = kill
        self.deadly = deadly
        self.writes: list[str] = []
        self.deaths = 0
        self.is_cut = False
        self._lock = threading.Lock()
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def kubeconfig(self, folder: Path, token: str) -> Path:
        """Write a kubeconfig that leads here and return its path."""
        path = folder / f"kubeconfig-{self.server_port}"
        write_kubeconfig(path, f"http://127.0.0.1:{self.server_port}", token)
        return path

    def wrote(self, method: str, path: str, body: bytes) -> bool:
        """Count a write; return whether it was a deadly one, after killing."""
        with self._lock:
            if self.is_cut:
                return True
            name = _name_in(body) if method == "POST" else ""
            self.writes.append(f"{method} {urlsplit(path).path}{name}")
            if len(self.writes) not in self.deadly:
                return False
            self.deaths += 1
            self.is_cut = True
            self.kill()
            return True

    def cut(self) -> None:
        """Answer nobody from now on; streams that are open fall silent at their next word."""
        with self._lock:
            self.is_cut = True

    def reconnect(self) -> None:
        """Let requests through again."""
        with self._lock:
            self.is_cut = False

    def handle_error(self, *_: object) -> None:
        """An operator that was killed leaves broken connections; they are no news."""

    def close(self) -> None:
        self.shutdown()
        self.server_close()


def _name_in(body: bytes) -> str:
    return "/" + json.loads(body).get("metadata", {}).get("name", "?") if body else ""


class _Handler(BaseHTTPRequestHandler):
    server: Proxy
    protocol_version = "HTTP/1.1"

    def forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        if self.server.is_cut:
            self.close_connection = True
            return
        upstream = http.client.HTTPSConnection(
            self.server.target.hostname or "", self.server.target.port, context=self.server.tls
        )
        try:
            headers = {k: v for k, v in self.headers.items() if k.lower() not in (*_HOP, "host")}
            headers["Accept-Encoding"] = "identity"
            upstream.request(self.command, self.path, body or None, headers)
            answer = upstream.getresponse()
            counts = self.command in WRITES and "/leases" not in self.path
            succeeded = answer.status < 300
            if counts and succeeded and self.server.wrote(self.command, self.path, body):
                self.close_connection = True
                return
            self._relay(answer)
        except (OSError, http.client.HTTPException):
            self.close_connection = True
        finally:
            upstream.close()
            self.close_connection = self.close_connection or self.server.is_cut

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = forward  # noqa: N815 (names of the base class)

    def _relay(self, answer: http.client.HTTPResponse) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in _HOP:
                self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while (piece := answer.read1(1 << 16)) and not self.server.is_cut:
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            self.wfile.flush()
        if not self.server.is_cut:
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: object) -> None:
        pass
