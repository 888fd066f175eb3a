"""The event loop of the server: uvloop, that gives up clients which never finish a TLS handshake."""

from asyncio import AbstractServer
from ssl import SSLContext
from typing import Any

import uvloop

HANDSHAKE_SECONDS = 10.0
"""A connection costs much more memory during its handshake than after it, and no limit of ours sees
it before; the loop's own patience is a minute."""


class ServingLoop(uvloop.Loop):
    """Bounds the handshakes of every listener."""

    async def create_server(  # type: ignore[override]
        self,
        *args: Any,  # noqa: ANN401 - uvloop's business
        ssl: SSLContext | None = None,
        **more: Any,  # noqa: ANN401
    ) -> AbstractServer:
        """Listen as uvloop does."""
        if ssl is not None:
            more.setdefault("ssl_handshake_timeout", HANDSHAKE_SECONDS)
        return await super().create_server(*args, ssl=ssl, **more)
