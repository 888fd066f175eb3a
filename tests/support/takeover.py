"""Clients that ask all along on connections they keep, and note how each request ended."""

import socket
import threading
from collections import Counter
from collections.abc import Sequence

from support import http_wire

PATIENCE_SECONDS = 120


class Service:
    """Where new connections go, as a Kubernetes Service tells it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.stopped = False


class Client:
    """One client in a thread of its own."""

    def __init__(self, service: Service, requests: Sequence[bytes]) -> None:
        self._service = service
        self._requests = requests
        self.answered: Counter[int] = Counter()
        """By port."""
        self.unread = 0
        """Requests whose connection ended without one byte of an answer."""
        self.problem: object = None
        self.thread = threading.Thread(target=self._work, daemon=True)
        self.thread.start()

    def _work(self) -> None:
        try:
            while not self._service.stopped:
                self._ask_on_one_connection(self._service.port)
        except (OSError, ValueError, AssertionError) as error:
            self.problem = error

    def _ask_on_one_connection(self, port: int) -> None:
        try:
            connection = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
        except ConnectionError:
            return  # nobody listens, so nothing was sent
        with connection:
            while not self._service.stopped:
                for request in self._requests:
                    answer = _ask(connection, request)
                    if answer is None:
                        self.unread += 1
                        return
                    assert answer.status == 200, answer
                    self.answered[port] += 1
                    if answer.closes:
                        return


def _ask(connection: socket.socket, request: bytes) -> http_wire.Answer | None:
    """Return the answer; None where the connection ended before it began."""
    data = b""
    try:
        connection.sendall(request)
        while not (data and _is_whole(data)):
            piece = connection.recv(65536)
            if not piece:
                break
            data += piece
    except ConnectionError:
        assert not data, f"the answer broke off: {data!r}"
    return http_wire.answers(data)[0] if data else None


def _is_whole(data: bytes) -> bool:
    try:
        http_wire.answers(data)
    except (ValueError, KeyError):
        return False
    return True
