"""A gRPC client under load, run in a pod: makes calls at a rate, prints what it saw every second.

    grpc_load_client.py HOST:PORT RATE WORKERS < message

It speaks HTTP/2 itself, so that any serving image runs it: each worker has a connection and one call at
a time.  As gRPC asks of clients, it makes a call anew that the server says it has not begun, and leaves
a connection that it is asked to leave.  Every other end than OK is an error.
"""

import socket
import struct
import time

import hpack
from load_client import run  # beside it in the pod

TIMEOUT_SECONDS = 15
PATH = "/inference.GRPCInferenceService/ModelInfer"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4
REFUSED_STREAM = 7


class NotBegunError(Exception):
    """The server has not begun a call: it may be made anew."""


class Connection:
    """One connection, one call at a time."""

    def __init__(self, host, port):
        self.socket = socket.create_connection((host, port), timeout=TIMEOUT_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.stream, self.is_leaving = -1, False
        self.host = host
        self.socket.sendall(PREFACE + frame(SETTINGS, 0, 0))

    def call(self, message):
        """Return (status, revision) of one call."""
        self.stream += 2
        head = self.encoder.encode(
            [
                (":method", "POST"),
                (":scheme", "http"),
                (":path", PATH),
                (":authority", self.host),
                ("te", "trailers"),
                ("content-type", "application/grpc"),
            ]
        )
        body = b"\0" + struct.pack(">I", len(message)) + message
        self.socket.sendall(
            frame(HEADERS, END_HEADERS, self.stream, head)
            + frame(DATA, END_STREAM, self.stream, body)
        )
        said, ended = {}, False
        while not ended:
            kind, flags, stream, payload = self.read()
            if kind == HEADERS:
                said.update(self.decoder.decode(payload))
            if stream == self.stream and kind in (HEADERS, DATA):
                ended = bool(flags & END_STREAM)
            self.react(kind, flags, payload)
        return int(said.get("grpc-status", "-1")), said.get("x-modelyard-revision", "none")

    def read(self):
        head = self.file.read(9)
        if len(head) < 9:
            raise ConnectionError("closed")
        size = int.from_bytes(head[:3], "big")
        return head[3], head[4], int.from_bytes(head[5:], "big"), self.file.read(size)

    def react(self, kind, flags, payload):
        if kind == DATA and payload:
            more = struct.pack(">I", len(payload))
            self.socket.sendall(frame(WINDOW_UPDATE, 0, 0, more))
        elif kind in (SETTINGS, PING) and not flags & ACK:
            self.socket.sendall(frame(kind, ACK, 0, payload if kind == PING else b""))
        elif kind == GOAWAY:
            self.is_leaving = True
            if int.from_bytes(payload[:4], "big") < self.stream:
                raise NotBegunError
        elif kind == RST_STREAM:
            if int.from_bytes(payload, "big") == REFUSED_STREAM:
                raise NotBegunError
            raise ConnectionError("reset")


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def work(seen, address, message, interval, offset):
    host, port = address.split(":")
    connection, due = None, time.monotonic() + offset
    while True:
        due += interval
        time.sleep(max(0.0, due - time.monotonic()))
        for last_try in (False, True):
            try:
                if connection is None or connection.is_leaving:
                    connection = Connection(host, int(port))
                status, revision = connection.call(message)
                seen.add("errors" if status else "good", revision)
                break
            except NotBegunError:
                connection = None
                if last_try:
                    seen.add("broken", "NotBegun")
            except OSError as error:
                seen.add("broken", type(error).__name__)
                connection = None
                break


if __name__ == "__main__":
    run(work)
