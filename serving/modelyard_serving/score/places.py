"""Where the files are: folders of this machine and S3, behind Arrow's one interface."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pyarrow import fs

from modelyard_core.canonical import digest_file
from modelyard_serving.score import failures
from modelyard_serving.score.failures import BadArguments
from modelyard_serving.score.settings import S3Settings

CONNECT_SECONDS = 5.0
REQUEST_SECONDS = 60.0
ATTEMPTS = 5
SMALL_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Place:
    """A file or folder."""

    files: fs.FileSystem
    path: str
    shown: str
    """As the user wrote it."""

    @property
    def is_local(self) -> bool:
        """Whether renaming is possible, and takes a file from one name to another at once."""
        return isinstance(self.files, fs.LocalFileSystem)

    def child(self, name: str) -> "Place":
        """Return a file of this folder."""
        return Place(self.files, f"{self.path}/{name}", f"{self.shown.rstrip('/')}/{name}")


@dataclass(frozen=True, slots=True)
class Identity:
    """Which bytes a file had: two files with one identity have the same."""

    path: str
    size: int
    version: str
    """The entity tag of S3; of a small file its digest, of a large one the time of its change.

    A ConfigMap is small, and written anew, with new times, for each pod that mounts it.
    """


def place_of(text: str, s3: S3Settings) -> Place:
    """Return the place that an argument names.

    Raises:
        BadArguments: not a path, nor an address such as s3://bucket/path.
    """
    parts = urlsplit(text)
    if not parts.scheme or parts.scheme == "file":
        if parts.netloc or not parts.path:
            raise BadArguments("BadArguments", f"{text!r} is no path")
        return Place(fs.LocalFileSystem(), str(Path(parts.path).absolute()), text)
    path = text.partition("://")[2].strip("/")
    if parts.scheme != "s3" or not parts.netloc or "/" not in path:
        raise BadArguments("BadArguments", f"{text!r} is neither a path nor s3://bucket/path")
    return Place(_s3(s3), path, text)


def _s3(settings: S3Settings) -> fs.S3FileSystem:
    found = urlsplit(settings.endpoint)
    if settings.endpoint and (found.scheme not in ("http", "https") or not found.netloc):
        raise BadArguments("BadArguments", f"AWS_ENDPOINT_URL={settings.endpoint!r} is no URL")
    return fs.S3FileSystem(
        region=settings.region or None,
        endpoint_override=found.netloc or None,
        scheme=found.scheme or "https",
        connect_timeout=CONNECT_SECONDS,
        request_timeout=REQUEST_SECONDS,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
    )


def identity_of(place: Place) -> Identity:
    """Return which bytes the input has now.

    Raises:
        BadData: there is no such file.
        BadArguments: it may not be read.
        Unavailable: the place does not answer.
    """
    try:
        info = place.files.get_file_info(place.path)
        if not info.is_file:
            raise FileNotFoundError
        version = _version(info) if place.is_local else _entity_tag(place)
    except OSError as error:
        raise failures.of_input(error, place.shown) from error
    return Identity(place.shown, int(info.size), version)


def _version(info: fs.FileInfo) -> str:
    if info.size <= SMALL_BYTES:
        return digest_file(Path(info.path))
    return str(info.mtime_ns)


def _entity_tag(place: Place) -> str:
    with place.files.open_input_stream(place.path) as stream:
        found: dict[str, bytes] = stream.metadata()
    return (found.get("ETag") or found["Last-Modified"]).decode()


@contextlib.contextmanager
def reached(place: Place) -> Iterator[None]:
    """Say of which place an error speaks.

    Raises:
        BadArguments: it may not be read or written.
        Unavailable: it does not answer.
    """
    try:
        yield
    except OSError as error:
        raise failures.of_storage(error, place.shown) from error


def to_disk(path: str) -> None:
    """Return when the file's bytes would outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
