"""What can be set, and the only reader of the environment."""

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting; the environment variable is `MODELYARD_MONITOR_<NAME>`."""

    data: Path = Path("/modelyard/data")
    """Where the database lives: a volume of its own."""
    host: str = "0.0.0.0"  # noqa: S104 - the pod's own network namespace
    port: int = 8080
    scrape_seconds: float = 0.0
    """How often sketches are read; 0: a twelfth of the smallest window, between 5 and 15 seconds."""
    scrape_timeout_seconds: float = 5.0
    """How long one pod may take to answer."""
    linger_seconds: float = 60.0
    """How long a pod that has left the DNS is still asked: it may be finishing requests."""
    max_watches: int = 200
    max_pods: int = 256
    """Addresses read for one watch; more are left out, and the report says so."""
    max_concurrent_scrapes: int = 32
    max_response_bytes: int = 8 << 20
    log_level: str = "INFO"


def read_settings(environment: dict[str, str] | None = None) -> Settings:
    """Return the settings that the environment holds.

    Raises:
        ValueError: a variable does not have the form of its setting; the message names it.
    """
    source = dict(os.environ) if environment is None else environment
    given: dict[str, Any] = {}
    for field in fields(Settings):
        name = f"MODELYARD_MONITOR_{field.name.upper()}"
        if name in source:
            given[field.name] = _convert(name, type(field.default), source[name])
    return Settings(**given)


def _convert(name: str, kind: type, text: str) -> object:
    try:
        return kind(text)
    except ValueError as error:
        raise ValueError(f"{name}={text!r} is not of type {kind.__name__}") from error
