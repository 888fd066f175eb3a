"""Who may use the server: everybody, or who shows a key of a mounted file.

What a request shows is compared with every key in constant time.  An empty or missing file lets
nobody in: silence is never permission.
"""

import hashlib
import hmac
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

from modelyard_serving import http_errors, rotation
from modelyard_serving.rotation import REFUSED, TAKEN, Count

logger = logging.getLogger(__name__)

SCHEME = b"bearer"
REFUSAL = "this server asks for a key: send `authorization: Bearer <key>`"
MAX_FILE_BYTES = 16 * 1024
HEADER = b"authorization"

OPEN_FOLDERS = ("/v2/health/", "/v1/")
OPEN_PATHS = ("/metrics",)
"""Probes, and what the monitor reads, need no key; a NetworkPolicy guards the latter."""

Hinder = Callable[[str | None], None]
"""Is told why nobody can be let in; None when somebody can."""


class Access(Protocol):
    """The judge of `authorization` headers, the same for every transport."""

    @property
    def generation(self) -> int:
        """A number that changes with the keys: what was allowed under another is asked again."""

    def allows(self, header: bytes | None) -> bool:
        """Return whether a request with this `authorization` header may be answered."""


class Everybody:
    """No key is asked for."""

    generation = 0

    def allows(self, header: bytes | None) -> bool:
        """Return True."""
        del header
        return True


class Keys:
    """The keys of a file, one a line; several make room for a rotation."""

    def __init__(self, file: Path, hinder: Hinder, count: Count) -> None:
        self._file = file
        self._hinder = hinder
        self._count = count
        self._keys: tuple[bytes, ...] = ()
        self.generation = 0
        self._seen = self._read()
        self._take(self._seen)

    def allows(self, header: bytes | None) -> bool:
        """Return whether the header shows one of the keys."""
        scheme, _, shown = (header or b"").strip().partition(b" ")
        digest = _digest(shown.strip())
        matches = [hmac.compare_digest(digest, key) for key in self._keys]
        return scheme.lower() == SCHEME and any(matches)

    def refresh(self) -> None:
        """Take over the keys that the file holds now."""
        text = self._read()
        if text != self._seen:
            self._seen = text
            self._take(text)

    def _read(self) -> bytes:
        folder = rotation.steady(self._file.parent)
        return rotation.read(folder / self._file.name, MAX_FILE_BYTES) or b""

    def _take(self, text: bytes) -> None:
        self._keys = tuple(_digest(line.strip()) for line in text.splitlines() if line.strip())
        # After the keys, since a decision that is kept under this number must come from them.
        self.generation += 1
        if self._keys:
            self._hinder(None)
            self._count(TAKEN)
            logger.info("%d keys from %s", len(self._keys), self._file)
        else:
            reason = f"no key can be read from {self._file}: every request is refused"
            self._hinder(reason)
            self._count(REFUSED)
            logger.error("%s", reason)


def _digest(text: bytes) -> bytes:
    """Return a form in which all keys are equally long, as the comparison needs them."""
    return hashlib.sha256(text).digest()


class Guard:
    """An ASGI application that lets a request through to another only where the judge allows it."""

    def __init__(self, app: ASGIApp, access: Access, refused: Callable[[], None]) -> None:
        self._app = app
        self._access = access
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse with 401."""
        if scope["type"] != "http" or is_open(scope["path"]) or self._admits(scope):
            await self._app(scope, receive, send)
            return
        self._refused()
        body = http_errors.body(REFUSAL)
        headers = [
            (b"content-type", http_errors.JSON.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"www-authenticate", b"Bearer"),
        ]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _admits(self, scope: Scope) -> bool:
        """Return whether the one `authorization` header is good; two are one too many."""
        first, *more = [value for name, value in scope["headers"] if name == HEADER] or [None]
        return not more and self._access.allows(first)


def is_open(path: str) -> bool:
    """Return whether a path needs no key."""
    return path in OPEN_PATHS or path.startswith(OPEN_FOLDERS)
