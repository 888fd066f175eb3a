"""Puts a bundle into the store exactly once, whatever is killed when.

    attempts/<attempt>/        files, each written aside, synced and renamed; the manifest last
    attempts/sha256-<hex>/     the same folder, complete: renamed to what it is
    contents/<key>.json        the claim: linked, so the first writer wins
    versions/sha256-<hex>/     the folder of the claim, renamed: from here on the version exists
    runs/<key>.json            so that a lost answer can be given again

Each arrow is one atomic step, and whoever comes later finishes the steps of whoever was killed: a
complete folder without a claim is claimed, a claimed folder that is still among the attempts is
moved.  Two attempts that finish at once agree on the first claim, and the other one's folder goes.
"""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar, cast

from modelyard_core import bundle, codec
from modelyard_core.bundle import BundleFile, Manifest, Pointer
from modelyard_core.canonical import digest_bytes, digest_file
from modelyard_core.errors import ShapeError, Unavailable
from modelyard_training import clock

WAITS_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Between the tries of one step; then the run gives up and the Job may try again."""
ABANDONED_SECONDS = 24 * 3600
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)
STAGED = "sha256-"

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Found:
    """A bundle that is in the store."""

    digest: str
    folder: Path
    manifest: Manifest


def patiently(
    step: Callable[Concatenate["Store", P], R],
) -> Callable[Concatenate["Store", P], R]:
    """Try a step of the store again when the store does not answer; steps may be repeated."""

    @wraps(step)
    def tried(self: "Store", *args: P.args, **kwargs: P.kwargs) -> R:
        for wait in WAITS_SECONDS:
            try:
                return step(self, *args, **kwargs)
            except OSError:
                self.pause(wait)
        try:
            return step(self, *args, **kwargs)
        except OSError as error:
            raise Unavailable(
                f"the store does not answer: {error.strerror or error}; "
                "check that the volume is mounted, writable and not full"
            ) from error

    return cast("Callable[Concatenate[Store, P], R]", tried)


class Store:
    """The folder of one training in the store."""

    def __init__(
        self, root: Path, training: str, pause: Callable[[float], None] = clock.pause
    ) -> None:
        self.root = root
        self.pause = pause
        self._home = root / training
        self._training = training

    # ---- writing ------------------------------------------------------------------------------

    @patiently
    def open_attempt(self, name: str) -> "Attempt":
        """Return an empty folder for this attempt; what old attempts left behind goes."""
        for part in ("versions", "runs", "contents", "attempts"):
            (self._home / part).mkdir(parents=True, exist_ok=True)
        self._sweep()
        folder = self._home / "attempts" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return Attempt(self, folder)

    @patiently
    def write(self, path: Path, content: bytes) -> None:
        """Write a file whole or not at all."""
        aside = path.with_name(f".{path.name}.{os.getpid()}")
        _write_synced(aside, content)
        aside.replace(path)
        _sync_folder(path.parent)

    @patiently
    def stage(self, attempt: Path, digest: str) -> None:
        """Name a complete folder by its digest."""
        target = self._staged(digest)
        if attempt.exists():
            _move(attempt, target)

    @patiently
    def claim(self, content_key: str, pointer: Pointer, attempt: str) -> str:
        """Return the digest of the bundle that answers this content: ours, or an earlier one."""
        path = self._pointer("contents", content_key)
        content = codec.dumps(pointer).encode()
        if _link_new(path, content, attempt):
            return pointer.digest
        earlier = _read_pointer(path)
        if earlier is not None and self._holds(earlier.digest):
            return earlier.digest
        self.write(path, content)
        return pointer.digest

    @patiently
    def publish(self, digest: str) -> None:
        """Move a claimed folder to where the world looks for it."""
        staged = self._staged(digest)
        if staged.exists():
            _move(staged, self.folder(digest))

    @patiently
    def remember_run(self, run_key: str, pointer: Pointer) -> None:
        """Write the answer of a run, so that it can be given again."""
        self.write(self._pointer("runs", run_key), codec.dumps(pointer).encode())

    @patiently
    def discard(self, digest: str) -> None:
        """Remove a complete folder whose claim came too late."""
        shutil.rmtree(self._staged(digest), ignore_errors=True)

    # ---- reading ------------------------------------------------------------------------------

    @patiently
    def find_run(self, run_key: str) -> Found | None:
        """Return the bundle of a run that has finished."""
        pointer = _read_pointer(self._pointer("runs", run_key))
        return None if pointer is None else self._found(pointer.digest, self.folder(pointer.digest))

    @patiently
    def find_content(self, content_key: str) -> Found | None:
        """Return a complete bundle with this content, published or not yet."""
        pointer = _read_pointer(self._pointer("contents", content_key))
        digests = [pointer.digest] if pointer else []
        for digest in (*digests, *self._staged_digests()):
            for folder in (self.folder(digest), self._staged(digest)):
                found = self._found(digest, folder)
                if found is not None and found.manifest.content_key == content_key:
                    return found
        return None

    def folder(self, digest: str) -> Path:
        """Return where a version is, or will be."""
        return self.root / bundle.version_path(self._training, digest)

    def _staged(self, digest: str) -> Path:
        return self._home / "attempts" / digest.replace(":", "-")

    def _pointer(self, kind: str, key: str) -> Path:
        return self._home / kind / f"{key.removeprefix('sha256:')}.json"

    def _staged_digests(self) -> Iterator[str]:
        attempts = self._home / "attempts"
        if attempts.exists():
            for folder in sorted(attempts.glob(f"{STAGED}*")):
                yield folder.name.replace("-", ":", 1)

    def _holds(self, digest: str) -> bool:
        return any(
            self._found(digest, folder) for folder in (self.folder(digest), self._staged(digest))
        )

    def _found(self, digest: str, folder: Path) -> Found | None:
        try:
            text = (folder / bundle.MANIFEST).read_bytes()
            manifest = codec.loads(Manifest, text)
        except (FileNotFoundError, ShapeError):
            return None
        if digest_bytes(text) != digest or not _is_whole(folder, manifest):
            return None
        return Found(digest, folder, manifest)

    def _sweep(self) -> None:
        for folder in (self._home / "attempts").iterdir():
            if clock.age_of(folder.stat().st_mtime) > ABANDONED_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


class Attempt:
    """The scratch folder of one attempt; nobody else reads it until it is complete."""

    def __init__(self, store: Store, folder: Path) -> None:
        self._store = store
        self._folder = folder
        self._files: list[BundleFile] = []

    @property
    def name(self) -> str:
        """Return the attempt's name."""
        return self._folder.name

    @property
    def files(self) -> tuple[BundleFile, ...]:
        """Return what has been written, by name."""
        return tuple(sorted(self._files, key=lambda file: file.path))

    def write(self, name: str, content: bytes) -> None:
        """Add a file."""
        self._store.write(self._folder / name, content)
        digest = digest_bytes(content).removeprefix("sha256:")
        self._files.append(BundleFile(name, len(content), digest))

    def complete(self, manifest: Manifest) -> str:
        """Write the manifest, name the folder by its digest, and return the digest."""
        content = codec.dumps(manifest).encode()
        self._store.write(self._folder / bundle.MANIFEST, content)
        digest = digest_bytes(content)
        self._store.stage(self._folder, digest)
        return digest

    def discard(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _move(folder: Path, target: Path) -> None:
    """Rename a folder; where the same content is already, only the source goes."""
    try:
        folder.rename(target)
    except OSError as error:
        if error.errno == errno.ENOENT and target.exists():
            return
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
        shutil.rmtree(folder, ignore_errors=True)
    _sync_folder(target.parent)


def _link_new(path: Path, content: bytes, attempt: str) -> bool:
    """Create a file with its whole content; False when it is there already."""
    aside = path.with_name(f".{path.name}.{attempt}")
    _write_synced(aside, content)
    try:
        os.link(aside, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        return _create_new(path, content)
    finally:
        aside.unlink(missing_ok=True)
    _sync_folder(path.parent)
    return True


def _create_new(path: Path, content: bytes) -> bool:
    # Without links a kill can leave half a claim, which reads as none and is written over.
    try:
        with path.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        return False
    return True


def _read_pointer(path: Path) -> Pointer | None:
    try:
        return codec.loads(Pointer, path.read_bytes())
    except (FileNotFoundError, ShapeError):
        return None


def _is_whole(folder: Path, manifest: Manifest) -> bool:
    try:
        return all(
            digest_file(folder / file.path) == f"sha256:{file.sha256}" for file in manifest.files
        )
    except FileNotFoundError:
        return False
