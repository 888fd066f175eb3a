"""One byte sequence for one value, and the digests made of it."""

import hashlib
import json
from pathlib import Path
from typing import Any

CHUNK = 1 << 20


def canonical_json(value: Any) -> bytes:
    """Return the one JSON text of a value: keys sorted, no spaces, UTF-8, no NaN.

    Raises:
        ValueError: the value holds NaN or an infinity.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def digest_bytes(data: bytes) -> str:
    """Return `sha256:<64 hex>` of the bytes.

    >>> digest_bytes(b"")[:15]
    'sha256:e3b0c442'
    """
    return "sha256:" + hashlib.sha256(data).hexdigest()


def digest_value(value: Any) -> str:
    """Return the digest of a value's canonical JSON."""
    return digest_bytes(canonical_json(value))


def digest_file(path: Path) -> str:
    """Return the digest of a file, read in pieces."""
    state = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            state.update(piece)
    return "sha256:" + state.hexdigest()


def short_hash(digest: str) -> str:
    """Return the first 8 hex digits of a `sha256:` digest: the suffix of derived names.

    >>> short_hash("sha256:e3b0c44298fc1c14")
    'e3b0c442'
    """
    return digest.removeprefix("sha256:")[:8]
