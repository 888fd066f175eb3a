"""The application, imported when it is needed: the fast way answers long before it is there.

Importing the web framework costs as much processor time as all else of a start, and an inference
does not use it.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

Alongside = Callable[[], AbstractAsyncContextManager[None]]


class LateApplication:
    """An ASGI application that stands for another until that is built."""

    def __init__(self, build: "Callable[[], ASGIApp]", alongside: Alongside) -> None:
        """`build` imports and returns the other; `alongside` is open while the server runs."""
        self._build = build
        self._alongside = alongside
        self._building = asyncio.Lock()
        self._built: ASGIApp | None = None

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer as the other application."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        application = self._built or await self.prepare()
        await application(scope, receive, send)

    async def prepare(self) -> "ASGIApp":
        """Return the other application, built in a thread if nobody has needed it yet."""
        async with self._building:
            if self._built is None:
                self._built = await asyncio.to_thread(self._build)
            return self._built

    async def _live(self, receive: "Receive", send: "Send") -> None:
        await receive()
        async with self._alongside():
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})
