"""A connection of gRPC over a transport: read in turns, written in one piece, closed when it is over."""

import asyncio
from typing import TYPE_CHECKING, cast

from modelyard_serving.clock import monotonic
from modelyard_serving.grpc.connection import Calls

if TYPE_CHECKING:
    from modelyard_serving.grpc.shared import Shared

SLICE_BYTES = 16 * 1024
TURN_SECONDS = 0.005
"""After so long the rest of what came waits until others had their turn."""
FLOOD = 2
"""Times the connection limit from which on connections are closed unread."""


class GrpcProtocol(Calls, asyncio.Protocol):
    """One connection of a client."""

    def __init__(self, shared: "Shared[GrpcProtocol]") -> None:
        super().__init__(shared, asyncio.get_running_loop())
        self._transport: asyncio.Transport | None = None
        self._touched = monotonic()
        self._unread = b""
        self._flushes = False
        self._paused_at: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or close it where there are far too many."""
        self._transport = cast("asyncio.Transport", transport)
        self._shared.connections.add(self)
        self._crowded = self._shared.crowd() > 1
        if self._shared.crowd() > FLOOD:
            self._transport.abort()
        else:
            self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """Take back the calls."""
        del exc
        self._transport = None
        self.failed = True
        self.abandon()
        self._shared.connections.discard(self)
        self._shared.changed.set()

    def leave(self) -> None:
        """Take no new call."""
        super().leave()
        self._shared.changed.set()

    def data_received(self, data: bytes) -> None:
        """Answer what can be answered at once."""
        self._touched = monotonic()
        if self._unread:
            self._unread += data
        else:
            self._read_for_a_turn(data)

    def _read_for_a_turn(self, data: bytes) -> None:
        at, size = 0, len(data)
        end = monotonic() + TURN_SECONDS
        while at < size and not self.failed:
            self.receive(data[at : at + SLICE_BYTES])
            at += SLICE_BYTES
            if monotonic() > end:
                break
        self._unread = b"" if self.failed else data[at:]
        self.arm()
        self.flush()
        if self._unread:
            self._loop.call_soon(self._read_on)
            self._stop_reading()

    def _read_on(self) -> None:
        unread, self._unread = self._unread, b""
        if self._transport is not None and unread:
            self._read_for_a_turn(unread)
            self._start_reading()

    def _stop_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def _start_reading(self) -> None:
        wanted = not self._unread and self._paused_at is None
        if wanted and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def pause_writing(self) -> None:
        """Read nothing more from a client that does not read its answers."""
        self._paused_at = monotonic()
        self._stop_reading()

    def resume_writing(self) -> None:
        """Read on."""
        self._paused_at = None
        self._start_reading()

    def flush(self) -> None:
        """Send what has gathered, and close a connection that is over."""
        self._flushes = False
        transport = self._transport
        if transport is None or transport.is_closing():
            self.out.clear()
            return
        if self.out:
            transport.write(b"".join(self.out))
            self.out.clear()
        if self.failed or (self.leaving and not self.streams):
            transport.close()

    def flush_soon(self) -> None:
        """Send at the end of this turn, with what others add till then."""
        if not self._flushes:
            self._flushes = True
            self._loop.call_soon(self.flush)

    def check(self, now: float) -> None:
        """End what takes too long: a call, a greeting, a silence, or reading the answers."""
        limits = self._shared.limits
        if self._transport is None:
            return
        self.sweep(now)
        stuck = self._paused_at is not None and now - self._paused_at > limits.receive_seconds
        silent = now - self._touched
        if stuck or (not self.greeted and silent > limits.receive_seconds):
            self._transport.abort()
            return
        if not self.streams and silent > limits.keep_alive_seconds:
            self.leave()
        self.flush()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()
