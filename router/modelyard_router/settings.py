"""Where things are in the router's pod; the only reader of the environment.

The defaults are those of the pods that the operator makes; another value is for tests and for
people who debug.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """Folders, ports and patience of one router."""

    routes_file: Path = Path("/routes/routes.json")
    xds: Path = Path("/xds")
    http_port: int = 8080
    grpc_port: int = 9000
    admin_port: int = 9901
    agent_port: int = 9903
    serving_port: int = 8080
    serving_grpc_port: int = 9000
    """Ports of the serving pods."""
    concurrency: int = 2
    """Worker threads of Envoy."""
    connection_seconds: float = 600.0
    """How long clients keep a connection: then they are asked to come again, to whichever router."""
    warm_seconds: float = 1.0
    """How long one try waits for addresses before the state says so."""
    minimum_drain_seconds: float = 8.0
    """How long a leaving pod goes on before it counts its connections: until then clients may still
    find its address."""
    drain_limit_seconds: float = 60.0
    last_read_seconds: float = 10.0
    """How long a drained pod waits for one more reading of its counters."""


def from_environment(environ: Mapping[str, str]) -> Settings:
    """Return the settings, each from `MODELYARD_ROUTER_<NAME>` where that is set."""
    default = Settings()
    texts = {
        name: environ[variable]
        for name in Settings.__dataclass_fields__
        if (variable := f"MODELYARD_ROUTER_{name.upper()}") in environ
    }
    values = {name: type(getattr(default, name))(text) for name, text in texts.items()}
    return Settings(**values)
