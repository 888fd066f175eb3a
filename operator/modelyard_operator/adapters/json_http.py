"""JSON from our own programs: bounded in time and size, no redirects, silence as None."""

import json
import logging
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp

from modelyard_core import codec
from modelyard_core.errors import ShapeError, Unavailable

log = logging.getLogger(__name__)

T = TypeVar("T")

MAX_BYTES = 1 << 20


def root(address: str, port: int) -> str:
    """Return the URL of a pod's port by the pod's IP address.

    >>> root("10.0.0.7", 80), root("fd00::7", 80)
    ('http://10.0.0.7:80', 'http://[fd00::7]:80')
    """
    host = f"[{address}]" if ":" in address else address
    return f"http://{host}:{port}"


class JsonClient:
    """A client of programs that we run ourselves; use as an async context manager."""

    def __init__(self, seconds: float, connections: int = 64) -> None:
        self._timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=min(seconds, 1.0))
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=self._timeout, connector=aiohttp.TCPConnector(limit=self._connections)
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def ask(self, kind: type[T], method: str, url: str, body: Any = None) -> T | None:  # noqa: ANN401
        """Return the answer as a dataclass of core; None where there is none or another."""
        try:
            status, content = await self.send(method, url, body)
            if status == HTTPStatus.OK:
                return codec.decode(kind, json.loads(content))
            # A program that starts, or waits for another, says so: no news in a log.
            level = logging.INFO if status == HTTPStatus.SERVICE_UNAVAILABLE else logging.WARNING
            log.log(level, "%s answered %s", url, status)
        except Unavailable as error:
            log.info("%s", error)
        except (ValueError, ShapeError) as error:
            log.warning("%s answered in another shape: %s", url, error)
        return None

    async def send(self, method: str, url: str, body: Any = None) -> tuple[int, bytes]:  # noqa: ANN401
        """Return status and body.

        Raises:
            Unavailable: nobody answered, or with too much.
        """
        assert self._session is not None, "used outside its context"
        try:
            async with self._session.request(
                method, url, json=body, allow_redirects=False
            ) as response:
                content = bytearray()
                async for piece in response.content.iter_chunked(1 << 16):
                    content += piece
                    if len(content) > MAX_BYTES:
                        raise Unavailable(f"{url} answered with more than {MAX_BYTES} bytes")
                return response.status, bytes(content)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = str(error) or type(error).__name__
            raise Unavailable(f"{url} does not answer: {reason}") from error
