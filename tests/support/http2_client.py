"""A client of HTTP/2 that builds every frame by hand, talking to a connection without a socket."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

import hpack

from modelyard_serving.access import Access, Everybody
from modelyard_serving.grpc import http2_frames as frames
from modelyard_serving.grpc.connection import Calls
from modelyard_serving.grpc.shared import Shared
from modelyard_serving.grpc.status import Status
from modelyard_serving.held_bytes import HeldBytes
from modelyard_serving.settings import Limits

PATH = "/test.Echo/Say"


class Frame(NamedTuple):
    """One frame that was sent to the client."""

    kind: int
    flags: int
    stream: int
    payload: bytes


class Echo:
    """A method that answers what `answer` makes of a message, and remembers how calls ended."""

    is_open = False

    def __init__(self, answer: Callable[[bytes], object] = bytes) -> None:
        self.answer = answer
        self.ends: list[Status] = []

    def start(self, call):
        return self.answer(call.message())

    def waits(self, call) -> None:
        pass

    def over(self, call, status: Status) -> None:
        self.ends.append(status)


class Direct(Calls):
    """A connection whose output is read by hand."""

    def flush(self) -> None:
        pass

    def flush_soon(self) -> None:
        pass


class Client:
    """The client's side, and the server's at its other end."""

    def __init__(self, method: Echo | None = None, access: Access | None = None, **limits) -> None:
        self.method = method or Echo()
        self.rejected: list[str] = []
        self.shared = Shared(
            {PATH.encode(): self.method},
            Limits(**limits),
            access or Everybody(),
            self.rejected.append,
            HeldBytes(Limits(**limits).max_held_bytes),
        )
        self.now = 0.0
        self.server = Direct(self.shared, _loop())
        self.server._now = lambda: self.now
        self._encoder = hpack.Encoder()
        self._decoder = hpack.Decoder()
        self._number = -1
        self.send(frames.PREFACE + frames.settings({}))
        self.received()

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.server.receive(data)

    def received(self) -> list[Frame]:
        """Return the frames that came since this was asked last."""
        data = b"".join(self.server.out)
        self.server.out.clear()
        found = []
        while data:
            high, low, kind, flags, stream = frames.unpack_head(data)
            end = frames.HEAD_BYTES + (high << 16 | low)
            found.append(Frame(kind, flags, stream, data[frames.HEAD_BYTES : end]))
            data = data[end:]
        return found

    def block(self, *more: tuple[str, str], **replaced: str) -> bytes:
        """Return a block of headers; `replaced` without underscores takes the usual one's place."""
        usual = {":method": "POST", ":scheme": "http", ":path": PATH, ":authority": "here"}
        usual |= {"te": "trailers", "content-type": "application/grpc"}
        named = {
            f":{name}" if f":{name}" in usual else name.replace("_", "-"): value
            for name, value in replaced.items()
        }
        fields = [*(usual | named).items(), *more]
        return self._encoder.encode([field for field in fields if field[1]])

    def open(self, *more: tuple[str, str], ends: bool = False, **replaced: str) -> int:
        """Begin a request and return its number."""
        self._number += 2
        flags = frames.END_HEADERS | (frames.END_STREAM if ends else 0)
        self.send(frames.frame(frames.HEADERS, flags, self._number, self.block(*more, **replaced)))
        return self._number

    def data(self, number: int, data: bytes, *, ends: bool = True) -> None:
        """Send a piece of a body."""
        flags = frames.END_STREAM if ends else 0
        self.send(frames.frame(frames.DATA, flags, number, data))

    def call(self, message: bytes = b"hello", *more: tuple[str, str], **replaced: str) -> int:
        """Make a whole call and return its number."""
        number = self.open(*more, **replaced)
        self.data(number, packed(message))
        return number

    def fields(self, frame: Frame) -> dict[str, str]:
        """Return the headers in a frame."""
        return dict(self._decoder.decode(frame.payload))

    def ending(self) -> tuple[str, str]:
        """Return the status and the message of the answer that came since."""
        (last,) = [frame for frame in self.received() if frame.flags & frames.END_STREAM]
        fields = self.fields(last)
        return fields["grpc-status"], fields.get("grpc-message", "")

    def farewell(self) -> frames.Code | None:
        """Return the code with which the connection was broken off; None if it was not."""
        codes = [
            frames.Code(frames.number(frame.payload[4:8]))
            for frame in self.received()
            if frame.kind == frames.GOAWAY
        ]
        return codes[-1] if codes else None


def _loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def packed(message: bytes, flag: int = 0) -> bytes:
    """Return a message as it is framed in a body."""
    return bytes((flag,)) + len(message).to_bytes(4, "big") + message
