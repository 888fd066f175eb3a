"""`modelyard-fetch`: bring one bundle from the store into the pod, verified, or nothing at all.

The init container of every serving pod.  The digest pins the manifest, the manifest pins every
file; what is copied is what is hashed.  The manifest is moved into place last, so a folder with a
manifest is a whole bundle.  Any difference ends the program with one sentence for people.
"""

import hashlib
import logging
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from modelyard_core import bundle, logs
from modelyard_core.canonical import CHUNK, digest_file
from modelyard_core.errors import ModelyardError, Rejected, Unavailable
from modelyard_serving import bundle_files, last_words, settings
from modelyard_serving.bundle_files import TamperedBundle

REFUSED = 1
"""Exit code: the bundle is not what it should be; the same attempt fails again."""
UNAVAILABLE = 20
"""Exit code: the store cannot be read now."""
INCOMING = ".incoming"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a fetch did."""

    files: int
    size: int
    already_there: bool


def fetch(told: settings.FetchSettings) -> Fetched:
    """Bring the bundle into the folder.

    Raises:
        Rejected: the address is not allowed, or the bundle is not what its digest names.
        Unavailable: the store or the bundle cannot be read.
    """
    there = _already_there(told.folder, told.digest)
    if there is not None:
        return Fetched(len(there.files), _size(there), already_there=True)
    try:
        source = locate(told.uri, told.store)
        manifest = bundle_files.read_manifest(source, told.digest)
        _check_listing(source, manifest, told.max_bytes)
        _copy(source, manifest, told)
        return Fetched(len(manifest.files), _size(manifest), already_there=False)
    except OSError as error:
        raise Unavailable(f"{told.uri} cannot be fetched: {error}") from error


def locate(uri: str, store: Path) -> Path:
    """Return the bundle's folder below the mounted store.

    Raises:
        Rejected: no such address, or one that leaves the store.
        OSError: the store or the folder cannot be read.
    """
    try:
        _, path = bundle.split_uri(uri)
    except ValueError as error:
        raise Rejected("BadAddress", str(error)) from error
    root = store.resolve(strict=True)
    folder = (root / path).resolve(strict=True)
    if not folder.is_relative_to(root):
        raise Rejected("BadAddress", f"{uri!r} leaves its store through a link")
    return folder


def _check_listing(source: Path, manifest: bundle.Manifest, max_bytes: int) -> None:
    """Compare names and sizes before a byte is copied."""
    total = _size(manifest)
    if total > max_bytes:
        raise Rejected("TooLarge", f"the bundle has {total} bytes, at most {max_bytes} are taken")
    listed = {file.path for file in manifest.files} | {bundle.MANIFEST}
    found = {str(p.relative_to(source)) for p in source.rglob("*") if not p.is_dir()}
    extra = sorted(found - listed)
    if extra:
        raise TamperedBundle(f"{extra[0]} is in the bundle, but not in its manifest")
    missing = sorted(listed - found)
    if missing:
        raise TamperedBundle(f"{missing[0]} is in the manifest, but not in the bundle")
    for path in sorted(source.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise TamperedBundle(f"{path.relative_to(source)} is no regular file")


def _size(manifest: bundle.Manifest) -> int:
    return sum(file.size for file in manifest.files)


def _already_there(folder: Path, digest: str) -> bundle.Manifest | None:
    """Return the manifest if an earlier start of this container has brought this bundle whole."""
    try:
        manifest = bundle_files.read_manifest(folder, digest)
        for file in manifest.files:
            path = folder / file.path
            bundle_files.check_file(file, path.stat().st_size, digest_file(path))
    except (OSError, TamperedBundle):
        return None
    return manifest


def _copy(source: Path, manifest: bundle.Manifest, told: settings.FetchSettings) -> None:
    """Copy into a folder aside, verify while copying, then move into place, manifest last."""
    told.folder.mkdir(parents=True, exist_ok=True)
    _empty(told.folder)
    incoming = told.folder / INCOMING
    incoming.mkdir()
    try:
        for file in manifest.files:
            _copy_file(source / file.path, incoming / file.path, file)
        text = (source / bundle.MANIFEST).read_bytes()
        bundle_files.parse_manifest(text, told.digest)
        (incoming / bundle.MANIFEST).write_bytes(text)
        for file in manifest.files:
            target = told.folder / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            (incoming / file.path).rename(target)
        (incoming / bundle.MANIFEST).rename(told.folder / bundle.MANIFEST)
        shutil.rmtree(incoming)
    except BaseException:
        _empty(told.folder)
        raise


def _empty(folder: Path) -> None:
    """Remove what an attempt that did not end well has left; the manifest goes first."""
    (folder / bundle.MANIFEST).unlink(missing_ok=True)
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _copy_file(source: Path, target: Path, listed: bundle.BundleFile) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    state = hashlib.sha256()
    size = 0
    with source.open("rb") as reader, target.open("xb") as writer:
        while piece := reader.read(CHUNK):
            size += len(piece)
            if size > listed.size:
                break
            state.update(piece)
            writer.write(piece)
    bundle_files.check_file(listed, size, f"sha256:{state.hexdigest()}")


def main() -> int:
    """Fetch as the environment says; return the exit code."""
    logs.to_standard_error()
    return run(settings.fetch_settings)


def run(read: Callable[[], settings.FetchSettings]) -> int:
    """Fetch as told and say how it went; return the exit code."""
    log = settings.TERMINATION_LOG
    try:
        told = read()
        log = told.termination_log
        done = fetch(told)
    except ModelyardError as error:
        logger.error("%s", error)  # noqa: TRY400
        last_words.leave(log, str(error))
        return UNAVAILABLE if isinstance(error, Unavailable) else REFUSED
    verb = "found" if done.already_there else "fetched"
    logger.info("%s %s: %d files, %d bytes", verb, told.digest, done.files, done.size)
    return 0


if __name__ == "__main__":
    sys.exit(main())
