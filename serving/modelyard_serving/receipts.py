"""Receipts for what this process answers, where a key is mounted; see the core's `receipts`.

Callable from any thread.
"""

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from modelyard_core import codec, receipts
from modelyard_core.answers import SCORES as SHOWN
from modelyard_core.errors import Rejected
from modelyard_core.receipts import Signer
from modelyard_serving import clock, rotation
from modelyard_serving.codec import Array
from modelyard_serving.rotation import REFUSED, TAKEN, Count
from modelyard_serving.scores import readable, shown

logger = logging.getLogger(__name__)

MAX_KEY_BYTES = 4096


class BadKey(Rejected):
    """A file is named, and holds no key."""

    def __init__(self, sentence: str) -> None:
        super().__init__("BadReceiptKey", sentence)


class Served(Protocol):
    """What answers."""

    @property
    def name(self) -> str:
        """The model."""

    @property
    def version(self) -> str:
        """Its version."""

    @property
    def digest(self) -> str:
        """Of the version's bundle."""


class Receipts:
    """Writes receipts, or none."""

    def __init__(self, file: Path | None, count: Count) -> None:
        """Read the key; without a file there are no receipts.

        Raises:
            BadKey: the file holds no key.
        """
        self._file = file
        self._count = count
        self._key = b""
        self._seen = b""
        self._signer: Signer | None = None
        self.enabled = file is not None
        """Whether answers have receipts; the same for the life of a process."""
        if file is not None:
            self._seen = _read(file)
            self._take(file, self._seen)

    def refresh(self) -> None:
        """Take over the key that the file holds now; keep the present one if it holds none."""
        if self._file is None:
            return
        found = _read(self._file)
        if found == self._seen:
            return
        self._seen = found
        try:
            self._take(self._file, found)
        except BadKey as error:
            self._count(REFUSED)
            logger.error("the present key stays: %s", error)  # noqa: TRY400

    def _take(self, file: Path, found: bytes) -> None:
        key = found.strip()
        if len(key) < receipts.LEAST_KEY_BYTES:
            raise BadKey(f"{file} holds no key of at least {receipts.LEAST_KEY_BYTES} bytes")
        if key != self._key:
            self._key = key
            self._count(TAKEN)
            logger.info("receipts are signed with the key %s", receipts.key_name(key))

    def write(self, served: Served, request_id: str | None, scores: Array, content: bytes) -> str:
        """Return the receipt of one answer; only where receipts are `enabled`.

        `scores` is the model's score output for the request's rows, `content` the answer's body
        before it is packed, or the raw elements of its outputs.
        """
        values, classes = shown(scores)
        rows = len(scores) if scores.ndim else 1
        known_as = _short(request_id or "")
        return (
            self._signer_of(served).sign(_now(), known_as, rows, values, classes, content).decode()
        )

    def write_each(
        self,
        served: Served,
        request_ids: Sequence[str | None],
        counts: Sequence[int],
        scores: Array,
        contents: Sequence[bytes],
    ) -> list[bytes]:
        """Return the receipts of answers that one run brought, each as `write` does.

        `counts` are the rows of each; `scores` has the rows of all, one answer after the other.
        """
        sign = self._signer_of(served).sign
        at = _now()
        values, classes = readable(scores)
        written = []
        begin = 0
        for request_id, count, content in zip(request_ids, counts, contents, strict=True):
            end = begin + min(count, SHOWN)
            won = None if classes is None else classes[begin:end]
            known_as = _short(request_id or "")
            written.append(sign(at, known_as, count, values[begin:end], won, content))
            begin += count
        return written

    def _signer_of(self, served: Served) -> Signer:
        """Return what signs with the present key."""
        assert self.enabled
        key, signer = self._key, self._signer
        version_of = served.name, served.version, served.digest
        if signer is None or signer.key is not key or signer.version_of != version_of:
            # Another thread may do the same, or take a new key over meanwhile: no harm.
            signer = self._signer = Signer(key, *version_of)
        return signer


def _read(file: Path) -> bytes:
    return rotation.read(rotation.steady(file.parent) / file.name, MAX_KEY_BYTES) or b""


def _now() -> str:
    return codec.format_time(clock.now())


def _uncounted(_: str) -> None:
    """Count nothing."""


NONE = Receipts(None, _uncounted)
"""For a server that writes none."""


def _short(request_id: str) -> str:
    if len(request_id) <= receipts.ID_LENGTH and request_id.isprintable():
        return request_id
    return "sha256:" + hashlib.sha256(request_id.encode(errors="surrogatepass")).hexdigest()
