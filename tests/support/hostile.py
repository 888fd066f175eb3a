"""Clients that mean no good, from one seed: noise, and valid requests with something wrong in them."""

import contextlib
import random
import socket
import struct
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import hpack

MIB = 1 << 20
PATIENCE_SECONDS = 120
ABORT = struct.pack("ii", 1, 0)
"""SO_LINGER: close with a reset."""
MAX_NOISE_BYTES = 4096
WORDS = (
    b"\r\n", b"\r\n\r\n", b"\n", b"\r", b"\0", b":", b" ", b"\t", b";", b",", b"0", b"-1", b"%00",
    b"HTTP/1.1", b"HTTP/1.0", b"GET ", b"POST ", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"content-length: 5\r\n", b"Content-Length: 99999999999\r\n", b"transfer-encoding: chunked\r\n",
    b"connection: close\r\n", b"connection: upgrade\r\nupgrade: h2c\r\n", b"expect: 100-continue\r\n",
    b"content-encoding: gzip\r\n", b"inference-header-content-length: 10\r\n", b"ffffffff\r\n",
    b"x-request-id: \x7f\r\n", b"[" * 500, b'{"inputs":', b"1e999", b"\xff\xfe", b"A" * 3000,
)  # fmt: skip


def streams(seed: int, valid: Sequence[bytes]) -> Iterator[bytes]:
    """Yield streams without end, the same for the same seed."""
    dice = random.Random(seed)
    while True:
        if dice.random() < 0.1:
            yield dice.randbytes(dice.randrange(1, MAX_NOISE_BYTES))
        else:
            yield _spoiled(dice, valid)


def _spoiled(dice: random.Random, valid: Sequence[bytes]) -> bytes:
    data = bytearray(b"".join(dice.choices(valid, k=dice.randrange(1, 4))))
    for _ in range(dice.randrange(1, 6)):
        begin = dice.randrange(len(data) + 1)
        end = begin + int(dice.expovariate(0.1))
        match dice.randrange(6):
            case 0:
                data[begin:end] = b""
            case 1:
                data[begin:begin] = data[begin:end] * dice.randrange(1, 4)
            case 2:
                data[begin:begin] = dice.choice(WORDS)
            case 3:
                data[begin:end] = dice.randbytes(end - begin)
            case 4:
                del data[begin:]
            case _:
                data[begin : begin + 1] = dice.randbytes(1)
    return bytes(data) or b"\0"


@dataclass(frozen=True, slots=True)
class Attack:
    """Many connections that each send one stream, in any number of pieces, and go."""

    port: int
    seed: int
    valid: Sequence[bytes]

    def run(self, count: int, threads: int = 8) -> None:
        """Send so many streams and wait for their ends."""
        with ThreadPoolExecutor(threads) as pool:
            for done in [pool.submit(self._many, n, count // threads) for n in range(threads)]:
                done.result()

    def _many(self, number: int, count: int) -> None:
        seed = self.seed * 1000 + number
        dice = random.Random(seed)
        for stream, _ in zip(streams(seed, self.valid), range(count), strict=False):
            with contextlib.suppress(ConnectionError):
                self._one(dice, stream)

    def _one(self, dice: random.Random, stream: bytes) -> None:
        with socket.create_connection(
            ("127.0.0.1", self.port), timeout=PATIENCE_SECONDS
        ) as connection:
            cut = dice.randrange(len(stream)) if dice.random() < 0.3 else 0
            for piece in (stream[:cut], stream[cut:]):
                connection.sendall(piece)
            if dice.random() < 0.1:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
                return
            with contextlib.suppress(OSError):  # it may have been cut off already
                connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 4, 6, 8
END_STREAM, END_HEADERS = 1, 4


def grpc_call(path: str, message: bytes) -> bytes:
    """Return a whole connection that makes one call over HTTP/2."""
    fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "rain"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ]
    head = hpack.Encoder().encode(fields)
    body = b"\0" + len(message).to_bytes(4) + message
    frames = (
        (SETTINGS, 0, 0, b""),
        (WINDOW_UPDATE, 0, 0, (1 << 16).to_bytes(4)),
        (HEADERS, END_HEADERS, 1, head),
        (DATA, END_STREAM, 1, body),
        (PING, 0, 0, bytes(8)),
    )
    return PREFACE + b"".join(_frame(*frame) for frame in frames)


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


def resident_bytes(pid: int) -> int:
    """Return the memory that a process holds."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"process {pid} has ended")


def peak_bytes(pid: int) -> int:
    """Return the most memory that a process ever held."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def unread(port: int) -> int:
    """Return what a server has not taken yet of what has come to its port: bytes and connections."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    fields = [line.split() for line in lines]
    return sum(int(f[4].partition(":")[2], 16) for f in fields if f[1].endswith(f":{port:04X}"))


def open_files(pid: int) -> int:
    """Return how many file descriptors a process has."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
