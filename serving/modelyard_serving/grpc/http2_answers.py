"""The sending half of an HTTP/2 connection: answers, cut to what the windows of the peer take.

What does not fit waits, with its stream, for the peer to open a window.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

from modelyard_serving.grpc import http2_frames as frames
from modelyard_serving.grpc.http2_frames import Code, ConnectionFault

BLOCK = frames.END_HEADERS
LAST_BLOCK = frames.END_HEADERS | frames.END_STREAM
REMEMBERED_RESETS = 256
LEAVING = b"drained?"
"""The ping whose answer says that the client knows of the first GOAWAY."""


@dataclass(slots=True, eq=False)
class Stream:
    """One request and its answer."""

    id: int
    window_out: int
    """Bytes that this side may still send."""
    content_length: int | None
    """Bytes that the body has, where the client said so."""
    window_in: int = frames.FIRST_WINDOW
    """Bytes that the peer may still send."""
    received: int = 0
    """Bytes of the body so far."""
    ended: bool = False
    """The request is here as a whole."""
    closed: bool = False
    """Nothing can be sent any more."""
    unsent: bytes | memoryview = b""
    """What waits for a window."""
    trailers: bytes | None = None
    """The block that ends the answer, once there is nothing more to send before it."""


S = TypeVar("S", bound=Stream)


class Answers(Generic[S]):
    """The streams of one connection, seen from the side that answers; `out` is what to send."""

    def __init__(self) -> None:
        self.out: list[bytes] = []
        self.streams: dict[int, S] = {}
        self.leaving = False
        """No new stream is taken any more."""
        self._highest = 0
        self._resets: dict[int, None] = {}
        """Streams that this side cut short: what is under way for them is nobody's fault."""
        self._window_out = frames.FIRST_WINDOW
        self._stream_window_out = frames.FIRST_WINDOW
        self._waiting: dict[int, S] = {}
        """Streams that the connection's own window holds up."""

    def gone(self, stream: S) -> None:
        """Take note that nobody waits for the answer any more."""
        raise NotImplementedError

    def answered(self) -> None:
        """Take note that an answer is on its way as a whole."""
        raise NotImplementedError

    def answer(self, stream: S, head: bytes, body: bytes, trailers: bytes) -> None:
        """Send a whole answer, or as much of it as the windows take for now."""
        size = len(body)
        if size > min(frames.LARGEST_FRAME, stream.window_out, self._window_out):
            self.open(stream, head)
            self.finish(stream, body, trailers)
            return
        number = stream.id
        self._window_out -= size
        self.out += (
            frames.head(len(head), frames.HEADERS, BLOCK, number),
            head,
            frames.head(size, frames.DATA, 0, number),
            body,
            frames.head(len(trailers), frames.HEADERS, LAST_BLOCK, number),
            trailers,
        )
        self._close(stream)

    def open(self, stream: S, head: bytes) -> None:
        """Begin an answer."""
        self.out.append(frames.frame(frames.HEADERS, BLOCK, stream.id, head))

    def push(self, stream: S, data: bytes) -> None:
        """Go on with an answer."""
        stream.unsent = b"".join((stream.unsent, data)) if stream.unsent else data
        self._pump(stream)

    def finish(self, stream: S, data: bytes, trailers: bytes) -> None:
        """Send the rest of an answer, and the block that ends it."""
        stream.trailers = trailers
        self.push(stream, data)

    def end(self, stream: S, block: bytes) -> None:
        """Send the last block of an answer, which may be its only one."""
        self.out.append(frames.frame(frames.HEADERS, LAST_BLOCK, stream.id, block))
        self._close(stream)

    def reset(self, number: int, code: Code) -> None:
        """Break off a stream, open or not."""
        self.out.append(frames.reset(number, code))
        self._resets[number] = None
        if len(self._resets) > REMEMBERED_RESETS:
            del self._resets[next(iter(self._resets))]
        stream = self.streams.get(number)
        if stream is not None:
            self._forget(stream)
            self.gone(stream)

    def allow(self, stream: S, size: int) -> None:
        """Let the peer send at least so many bytes more on a stream."""
        missing = size - stream.window_in
        if missing > 0 and not stream.ended:
            stream.window_in += missing
            self.out.append(frames.window_update(stream.id, missing))

    def announce_leaving(self) -> None:
        """Ask the client to go elsewhere; what it sends until it has heard of it is answered."""
        self.out.append(frames.goaway(frames.LARGEST_WINDOW, Code.NO_ERROR, "leaving"))
        self.out.append(frames.frame(frames.PING, 0, 0, LEAVING))

    def leave(self) -> None:
        """Take no new stream, and tell up to which one there will be answers."""
        if not self.leaving:
            self.leaving = True
            self.out.append(frames.goaway(self._highest, Code.NO_ERROR, "leaving"))

    def abandon(self) -> None:
        """Take back every request: there is nobody to answer."""
        for stream in list(self.streams.values()):
            self._forget(stream)
            self.gone(stream)

    def _close(self, stream: S) -> None:
        """Forget an answered stream; what the client still sends on it is not wanted."""
        self._forget(stream)
        self.answered()
        if not stream.ended:
            self.reset(stream.id, Code.NO_ERROR)

    def _forget(self, stream: S) -> None:
        stream.closed = True
        stream.unsent = b""
        del self.streams[stream.id]
        if self._waiting:
            self._waiting.pop(stream.id, None)

    def _pump(self, stream: S) -> None:
        """Send what the windows take."""
        unsent = memoryview(stream.unsent)
        at = 0
        while at < len(unsent):
            room = min(frames.LARGEST_FRAME, stream.window_out, self._window_out)
            if room <= 0:
                break
            piece = bytes(unsent[at : at + room])
            self.out += (frames.head(len(piece), frames.DATA, 0, stream.id), piece)
            stream.window_out -= len(piece)
            self._window_out -= len(piece)
            at += len(piece)
        stream.unsent = unsent[at:]
        if stream.unsent:
            if stream.window_out > 0:
                self._waiting[stream.id] = stream
        elif stream.trailers is not None:
            self.end(stream, stream.trailers)

    def _widen(self, increment: int) -> None:
        """Take a larger window for the whole connection."""
        self._window_out += increment
        if self._window_out > frames.LARGEST_WINDOW:
            raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "an impossible window")
        for stream in list(self._waiting.values()):
            if self._window_out <= 0:
                break
            del self._waiting[stream.id]
            self._pump(stream)

    def _widen_stream(self, stream: S, change: int) -> bool:
        """Take another window for a stream; the answer is whether there can be such a one."""
        stream.window_out += change
        if stream.window_out > frames.LARGEST_WINDOW:
            return False
        if stream.unsent:
            self._pump(stream)
        return True
