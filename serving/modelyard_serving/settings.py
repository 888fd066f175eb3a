"""The only reader of the environment: what the two programs of this room are told."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from modelyard_core.errors import Rejected

MIB = 1 << 20
CGROUP_CPU = Path("/sys/fs/cgroup/cpu.max")
TERMINATION_LOG = Path("/dev/termination-log")
ALL_INTERFACES = "0.0.0.0"  # noqa: S104 - a pod is reached by its address


class BadSetting(Rejected):
    """An environment variable is missing or has no usable value."""

    def __init__(self, sentence: str) -> None:
        super().__init__("BadSetting", sentence)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one process takes at most."""

    max_rows: int = 1024
    max_body_bytes: int = 8 * MIB
    max_header_bytes: int = 32 * 1024
    max_headers: int = 100
    """Fields of one request's head."""
    max_pipelined: int = 64
    """Requests of one connection that wait for those before them."""
    max_held_bytes: int = 128 * MIB
    """Bytes of all the bodies that are here, whole or in part, and not answered yet."""
    max_connections: int = 1024
    max_waiting: int = 64
    """Requests that wait for, or run in, a worker thread."""
    receive_seconds: float = 30.0
    """From the first byte of a request, or of a connection, to the end of the request's body."""
    keep_alive_seconds: int = 90
    """How long an idle connection lives: longer than the router keeps it."""
    drain_seconds: float = 15.0
    """How long requests are still taken after SIGTERM."""
    finish_seconds: float = 25.0
    """How long running requests may take after that."""
    workers: int = 1


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """What `modelyard-serve` is told."""

    model: str
    version: str
    digest: str
    revision: str = ""
    folder: Path = Path("/modelyard/model")
    host: str = ALL_INTERFACES
    port: int = 8080
    limits: Limits = Limits()
    tls_folder: Path | None = None
    """Holds `tls.crt` and `tls.key`, and `ca.crt` where clients must show a certificate."""
    keys_file: Path | None = None
    """Holds the keys that open this server, one a line."""
    rotation_seconds: float = 10.0
    """How often the two are read again."""
    coalesce: bool = True
    """Whether requests that arrive together may share a run of the model."""
    receipt_key_file: Path | None = None
    """Holds the key that signs predictions; without it there are no receipts."""
    answers_per_second: int = 100
    """Answers that are kept in a second for comparison with another version's; 0 keeps none."""
    grpc_port: int | None = 9000
    """None for no gRPC, 0 for any free port."""
    termination_log: Path | None = None
    """Where it is written why this process will never be ready."""


@dataclass(frozen=True, slots=True)
class FetchSettings:
    """What `modelyard-fetch` is told."""

    uri: str
    digest: str
    store: Path = Path("/modelyard/store")
    folder: Path = Path("/modelyard/model")
    termination_log: Path = TERMINATION_LOG
    max_bytes: int = 10 * 1024 * MIB


def serve_settings() -> ServeSettings:
    """Return the server's settings from this process' environment.

    Raises:
        BadSetting: a variable is missing or has no usable value.
    """
    return parse_serve(os.environ, default_workers=available_cpus())


def fetch_settings() -> FetchSettings:
    """Return the fetch's settings from this process' environment.

    Raises:
        BadSetting: a variable is missing or has no usable value.
    """
    return parse_fetch(os.environ)


def parse_serve(environment: Mapping[str, str], default_workers: int = 1) -> ServeSettings:
    """Return the server's settings.

    Raises:
        BadSetting: a variable is missing or has no usable value.
    """
    read = _Reader(environment)
    usual = Limits()
    limits = Limits(
        max_rows=read.number("MAX_BATCH_ROWS", usual.max_rows),
        max_body_bytes=read.number("MAX_BODY_BYTES", usual.max_body_bytes),
        max_header_bytes=read.number("MAX_HEADER_BYTES", usual.max_header_bytes),
        max_headers=read.number("MAX_HEADERS", usual.max_headers),
        max_pipelined=read.number("MAX_PIPELINED", usual.max_pipelined),
        max_held_bytes=read.number("MAX_HELD_BYTES", usual.max_held_bytes),
        max_connections=read.number("MAX_CONNECTIONS", usual.max_connections),
        max_waiting=read.number("MAX_WAITING", usual.max_waiting),
        receive_seconds=read.seconds("RECEIVE_SECONDS", usual.receive_seconds),
        keep_alive_seconds=read.number("KEEP_ALIVE_SECONDS", usual.keep_alive_seconds),
        drain_seconds=read.seconds("DRAIN_SECONDS", usual.drain_seconds),
        finish_seconds=read.seconds("FINISH_SECONDS", usual.finish_seconds),
        workers=read.number("WORKERS", default_workers),
    )
    if limits.max_held_bytes < limits.max_body_bytes:
        raise BadSetting("MODELYARD_MAX_HELD_BYTES is less than MODELYARD_MAX_BODY_BYTES")
    return ServeSettings(
        model=read.text("MODEL_NAME"),
        version=read.text("MODEL_VERSION"),
        digest=read.text("DIGEST"),
        revision=read.text("REVISION", ""),
        folder=Path(read.text("MODEL_DIR", "/modelyard/model")),
        host=read.text("HOST", ALL_INTERFACES),
        port=read.number("PORT", 8080, least=0),
        limits=limits,
        tls_folder=read.path("TLS_DIR"),
        keys_file=read.path("KEYS_FILE"),
        rotation_seconds=read.seconds("ROTATION_SECONDS", 10.0, least=0.01),
        coalesce=read.flag("COALESCE", default=True),
        receipt_key_file=read.path("RECEIPT_KEY_FILE"),
        answers_per_second=read.number("ANSWERS_PER_SECOND", 100, least=0),
        grpc_port=read.number_or_off("GRPC_PORT", 9000),
        termination_log=Path(read.text("TERMINATION_LOG", str(TERMINATION_LOG))),
    )


def parse_fetch(environment: Mapping[str, str]) -> FetchSettings:
    """Return the fetch's settings.

    Raises:
        BadSetting: a variable is missing or has no usable value.
    """
    read = _Reader(environment)
    return FetchSettings(
        uri=read.text("BUNDLE_URI"),
        digest=read.text("BUNDLE_DIGEST"),
        store=Path(read.text("STORE_DIR", "/modelyard/store")),
        folder=Path(read.text("MODEL_DIR", "/modelyard/model")),
        termination_log=Path(read.text("TERMINATION_LOG", str(TERMINATION_LOG))),
        max_bytes=read.number("MAX_BUNDLE_BYTES", 10 * 1024 * MIB),
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads variables of one prefix."""

    environment: Mapping[str, str]

    def text(self, name: str, default: str | None = None) -> str:
        value = self.environment.get(f"MODELYARD_{name}") or default
        if value is None:
            raise BadSetting(f"MODELYARD_{name} is not set")
        return value

    def path(self, name: str) -> Path | None:
        value = self.environment.get(f"MODELYARD_{name}")
        return Path(value) if value else None

    def flag(self, name: str, *, default: bool) -> bool:
        text = self.text(name, str(default).lower())
        if text not in {"true", "false"}:
            raise BadSetting(f"MODELYARD_{name}={text!r} is neither true nor false")
        return text == "true"

    def number(self, name: str, default: int, least: int = 1) -> int:
        text = self.text(name, str(default))
        if not text.isascii() or not text.isdigit() or int(text) < least:
            raise BadSetting(f"MODELYARD_{name}={text!r} is not a whole number of at least {least}")
        return int(text)

    def number_or_off(self, name: str, default: int) -> int | None:
        if self.text(name, str(default)) == "off":
            return None
        return self.number(name, default, least=0)

    def seconds(self, name: str, default: float, least: float = 0) -> float:
        text = self.text(name, str(default))
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not least <= value <= 24 * 3600:
            raise BadSetting(
                f"MODELYARD_{name}={text!r} is not a number of seconds of at least {least:g}"
            )
        return value


def available_cpus() -> int:
    """Return the whole CPUs that this process may use: its affinity, cut by the cgroup's quota."""
    cpus = len(os.sched_getaffinity(0))
    try:
        quota, period = CGROUP_CPU.read_text().split()
        limit = cpus if quota == "max" else max(1, int(quota) // int(period))
    except (OSError, ValueError):
        limit = cpus
    return max(1, min(cpus, limit))
