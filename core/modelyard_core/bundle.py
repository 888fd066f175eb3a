"""A model bundle: files whose digests a manifest lists; the manifest's own digest is the identity.

    <store>/<training>/versions/sha256-<hex of the manifest>/…files…, manifest.json
    <store>/<training>/contents/<hex of the content key>.json  → Pointer: the claim, first one wins
    <store>/<training>/runs/<hex of the run key>.json          → Pointer, so an answer can be repeated
    <store>/<training>/attempts/…                              scratch; nobody else reads it

A bundle is written among the attempts, its manifest last, and is moved to `versions` whole.  It
exists if and only if its manifest exists there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

MANIFEST = "manifest.json"
MODEL = "model.onnx"
SIGNATURE = "signature.json"
PROFILE = "profile.json"
SERVED_FILES = (MODEL, SIGNATURE, PROFILE)
"""What a serving pod cannot do without."""
SCHEME = "pvc://"


@dataclass(frozen=True, slots=True)
class BundleFile:
    """One file of a bundle."""

    path: str
    size: int
    sha256: str
    """64 hex digits, without prefix."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a bundle holds and where it comes from."""

    schema_version: int
    training: str
    run: str
    run_key: str
    content_key: str
    data_digest: str
    verdict: str
    created_at: datetime
    files: tuple[BundleFile, ...]
    parent: str | None = None
    """Digest of the champion at the time, if there was one."""
    image: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pointer:
    """From a key to the bundle that answers it."""

    digest: str
    report: str
    """The run's report as JSON text, so that a lost answer can be given again."""


def version_path(training: str, digest: str) -> str:
    """Return a bundle's folder relative to the store.

    >>> version_path("rain", "sha256:ab12")
    'rain/versions/sha256-ab12'
    """
    return f"{training}/versions/{digest.replace(':', '-')}"


def bundle_uri(claim: str, training: str, digest: str) -> str:
    """Return the address of a bundle.

    >>> bundle_uri("models", "rain", "sha256:ab12")
    'pvc://models/rain/versions/sha256-ab12'
    """
    return f"{SCHEME}{claim}/{version_path(training, digest)}"


def split_uri(uri: str) -> tuple[str, str]:
    """Return claim and path of a bundle's address.

    >>> split_uri("pvc://models/rain/versions/sha256-ab12")
    ('models', 'rain/versions/sha256-ab12')

    Raises:
        ValueError: another scheme, or a path that leaves the store.
    """
    claim, _, path = uri.removeprefix(SCHEME).partition("/")
    if not uri.startswith(SCHEME) or not claim or not path:
        raise ValueError(f"{uri!r} is not an address such as pvc://claim/path")
    if any(part in ("", ".", "..") for part in path.split("/")):
        raise ValueError(f"{uri!r} leaves its store")
    return claim, path
