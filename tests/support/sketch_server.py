"""A serving pod's two endpoints on a real socket, told from outside what to answer."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec

from modelyard_core import codec


class SketchServer:
    """Serves `/v1/sketch` and `/v1/profile` on a free port of 127.0.0.1, in threads."""

    def __init__(self):
        self.answers = {}
        self.types = {}
        self.accepted = ""
        self.asked = []
        self.pause = threading.Event()
        self.pause.set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.asked.append(self.path)
                outer.accepted = self.headers["Accept"]
                outer.pause.wait()
                answer = outer.answers.get(self.path)
                body = answer() if callable(answer) else answer
                self.send_response(200 if body is not None else 404)
                self.send_header("Content-Type", outer.types.get(self.path, "application/json"))
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                """Readers are killed in the middle of a request."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.pause.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def serve_profile(self, profile):
        self.answers["/v1/profile"] = json.dumps(codec.encode(profile)).encode()

    def serve_sketch(self, make):
        """`make()` returns the sketch at that moment."""
        self.answers["/v1/sketch"] = lambda: json.dumps(codec.encode(make())).encode()

    def serve_packed(self, make):
        """The same as MessagePack."""
        self.types["/v1/sketch"] = "application/vnd.msgpack"
        self.answers["/v1/sketch"] = lambda: msgspec.msgpack.encode(codec.encode(make()))
