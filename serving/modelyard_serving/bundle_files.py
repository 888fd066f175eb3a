"""Checks of a bundle's files against its digest; shared by the fetch and by the server's start.

The digest of a bundle is the sha256 of `manifest.json`, and the manifest lists every other file
with size and sha256: one value pins all bytes.
"""

from pathlib import Path, PurePosixPath

from modelyard_core import bundle, codec
from modelyard_core.canonical import digest_bytes, digest_file
from modelyard_core.errors import Rejected, ShapeError

MAX_MANIFEST_BYTES = 1 << 20
MAX_FILES = 1_000


class TamperedBundle(Rejected):
    """The bytes are not the bundle that the digest names."""

    def __init__(self, sentence: str) -> None:
        super().__init__("TamperedBundle", sentence)


def read_manifest(folder: Path, digest: str) -> bundle.Manifest:
    """Return the manifest of a bundle whose digest is known.

    Raises:
        TamperedBundle: it has another digest, or is none.
        OSError: it cannot be read.
    """
    with (folder / bundle.MANIFEST).open("rb") as file:
        text = file.read(MAX_MANIFEST_BYTES + 1)
    if len(text) > MAX_MANIFEST_BYTES:
        raise TamperedBundle(f"{bundle.MANIFEST} is larger than {MAX_MANIFEST_BYTES} bytes")
    return parse_manifest(text, digest)


def parse_manifest(text: bytes, digest: str) -> bundle.Manifest:
    """Return the manifest that the bytes hold, if they have the digest.

    Raises:
        TamperedBundle: they have another digest, or are no manifest.
    """
    found = digest_bytes(text)
    if found != digest:
        raise TamperedBundle(f"{bundle.MANIFEST} has digest {found}, expected {digest}")
    try:
        manifest = codec.loads(bundle.Manifest, text)
    except ShapeError as error:
        raise TamperedBundle(f"{bundle.MANIFEST}: {error}") from error
    _check_paths([file.path for file in manifest.files])
    return manifest


def _check_paths(paths: list[str]) -> None:
    if len(paths) > MAX_FILES:
        raise TamperedBundle(f"{bundle.MANIFEST} lists {len(paths)} files, at most {MAX_FILES}")
    if len(set(paths)) != len(paths):
        raise TamperedBundle(f"{bundle.MANIFEST} lists a file twice")
    for path in paths:
        if not is_plain_path(path) or path == bundle.MANIFEST:
            raise TamperedBundle(f"{bundle.MANIFEST} lists {path!r}, which no bundle may hold")
    missing = [name for name in bundle.SERVED_FILES if name not in paths]
    if missing:
        raise TamperedBundle(f"{bundle.MANIFEST} does not list {missing[0]}")


def is_plain_path(path: str) -> bool:
    """Return whether a path stays below the folder that it is relative to.

    >>> [is_plain_path(p) for p in ("model.onnx", "a/b", "../a", "/a", "a//b", "")]
    [True, True, False, False, False, False]
    """
    parts = path.split("/")
    clean = all(part not in ("", ".", "..") and part.isprintable() for part in parts)
    return clean and "\\" not in path and not PurePosixPath(path).is_absolute()


def read_verified(folder: Path, manifest: bundle.Manifest, name: str) -> bytes:
    """Return a file's bytes if they are the listed ones: what is used is what was checked.

    Raises:
        TamperedBundle: other bytes, or not listed.
        OSError: it cannot be read.
    """
    listed = _listed(manifest, name)
    with (folder / name).open("rb") as file:
        data = file.read(listed.size + 1)
    check_file(listed, len(data), digest_bytes(data))
    return data


def verify(folder: Path, manifest: bundle.Manifest, name: str) -> None:
    """See that a file that stays where it is has the listed bytes: weights can be too large to copy.

    Raises:
        TamperedBundle: other bytes, not listed, or somewhere else through a link.
        OSError: it cannot be read.
    """
    listed = _listed(manifest, name)
    path = (folder / name).resolve(strict=True)
    if not path.is_relative_to(folder.resolve()):
        raise TamperedBundle(f"{name} leaves the bundle through a link")
    check_file(listed, path.stat().st_size, digest_file(path))


def _listed(manifest: bundle.Manifest, name: str) -> bundle.BundleFile:
    listed = next((file for file in manifest.files if file.path == name), None)
    if listed is None:
        raise TamperedBundle(f"{bundle.MANIFEST} does not list {name}")
    return listed


def check_file(listed: bundle.BundleFile, size: int, digest: str) -> None:
    """Compare what was read with what the manifest lists.

    Raises:
        TamperedBundle: size or digest differ.
    """
    if size != listed.size:
        raise TamperedBundle(f"{listed.path} does not have its {listed.size} bytes")
    if digest != f"sha256:{listed.sha256}":
        raise TamperedBundle(f"{listed.path} has {digest}, expected sha256:{listed.sha256}")
