"""The server's certificate, from a mounted folder, exchanged while connections go on.

    tls.crt   the certificate and what leads up to its authority
    tls.key   its key, without a password
    ca.crt    optional: clients must show a certificate of this authority

Each listener keeps one context for good.  When a handshake begins it is handed the newest one, so
that a change is whole: certificate, key and authority, or nothing of it.
"""

import hashlib
import logging
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modelyard_core.errors import Rejected
from modelyard_serving import rotation
from modelyard_serving.rotation import REFUSED, TAKEN, Count

logger = logging.getLogger(__name__)

CERTIFICATE, KEY, AUTHORITY = "tls.crt", "tls.key", "ca.crt"
MAX_FILE_BYTES = 1 << 20


class BadCertificate(Rejected):
    """The folder holds nothing that a server could show."""

    def __init__(self, sentence: str) -> None:
        super().__init__("BadCertificate", sentence)


@dataclass(slots=True)
class _Listener:
    alpn: tuple[str, ...]
    newest: ssl.SSLContext


class Certificates:
    """What the server shows to its clients, the same on every port."""

    def __init__(self, folder: Path, count: Count) -> None:
        """Read the folder.

        Raises:
            BadCertificate: it holds no certificate with its key.
        """
        self._folder = folder
        self._count = count
        self._listeners: list[_Listener] = []
        self._seen = self._fingerprint()
        self._asks_clients = _asks_clients(_build(folder, ()))
        count(TAKEN)

    def context(self, alpn: Sequence[str]) -> ssl.SSLContext:
        """Return the context of a listener that speaks these protocols.

        Raises:
            BadCertificate: the folder has gone bad since it was read first.
        """
        context = _build(self._folder, alpn)
        listener = _Listener(tuple(alpn), context)

        def exchange(connection: ssl.SSLObject, _: str | None, __: ssl.SSLContext) -> None:
            connection.context = listener.newest

        context.sni_callback = exchange
        self._listeners.append(listener)
        return context

    def refresh(self) -> None:
        """Take over what the folder holds now; a folder that is no good changes nothing."""
        fingerprint = self._fingerprint()
        if fingerprint == self._seen:
            return
        self._seen = fingerprint
        try:
            self._exchange()
        except BadCertificate as error:
            self._count(REFUSED)
            logger.error("the certificate of before stays: %s", error)  # noqa: TRY400
        else:
            self._count(TAKEN)
            logger.info("new certificate from %s", self._folder)

    def _exchange(self) -> None:
        newest = [_build(self._folder, listener.alpn) for listener in self._listeners]
        if any(_asks_clients(context) != self._asks_clients for context in newest):
            raise BadCertificate(f"{AUTHORITY} came or went, which needs a restart")
        for listener, context in zip(self._listeners, newest, strict=True):
            listener.newest = context

    def _fingerprint(self) -> bytes:
        folder = rotation.steady(self._folder)
        files = (rotation.read(folder / n, MAX_FILE_BYTES) for n in (CERTIFICATE, KEY, AUTHORITY))
        parts = (b"" if data is None else hashlib.sha256(data).digest() for data in files)
        return hashlib.sha256(b"|".join(parts)).digest()


def _build(folder: Path, alpn: Sequence[str]) -> ssl.SSLContext:
    steady = rotation.steady(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    if alpn:
        context.set_alpn_protocols(list(alpn))
    try:
        context.load_cert_chain(steady / CERTIFICATE, steady / KEY, password=_no_password)
        if (steady / AUTHORITY).exists():
            _ask_clients(context, steady / AUTHORITY)
    except (OSError, ValueError) as error:
        raise BadCertificate(f"{folder}: no certificate can be used: {error}") from error
    return context


def _asks_clients(context: ssl.SSLContext) -> bool:
    return context.verify_mode is ssl.CERT_REQUIRED


def _ask_clients(context: ssl.SSLContext, authority: Path) -> None:
    """Demand a certificate in every handshake.

    A session that is taken up again skips the demand, so that an authority which was exchanged
    would be trusted on; from TLS 1.3 on that is up to tickets, and there are none.
    """
    context.load_verify_locations(authority)
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0


def _no_password() -> str:
    raise ValueError("the key has a password")
