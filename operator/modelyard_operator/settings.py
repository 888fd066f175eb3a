"""The only reader of the environment."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from modelyard_operator.ports import Images


class BadSettings(ValueError):
    """The environment lacks something, or says what cannot be."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What an installation decides."""

    namespace: str
    """Where the lease lives."""
    identity: str
    """The name of this replica's pod."""
    watch_namespaces: tuple[str, ...]
    """The namespaces to watch; empty: all."""
    images: Images
    default_store_claim: str
    monitor_url: str
    kubeconfig: str | None
    health_port: int
    metrics_port: int
    log_level: str


def read(environment: Mapping[str, str] | None = None) -> Settings:
    """Return the settings.

    Raises:
        BadSettings: a value is missing or malformed; the message names the variable.
    """
    source = _Source(os.environ if environment is None else environment)
    namespace = source.text("MODELYARD_NAMESPACE", "modelyard-system")
    namespaces = source.text("MODELYARD_WATCH_NAMESPACES", "").split(",")
    return Settings(
        namespace=namespace,
        identity=source.text("MODELYARD_POD_NAME", socket.gethostname()),
        watch_namespaces=tuple(sorted({name.strip() for name in namespaces} - {""})),
        images=Images(
            training=source.text("MODELYARD_TRAINING_IMAGE"),
            serving=source.text("MODELYARD_SERVING_IMAGE"),
            router=source.text("MODELYARD_ROUTER_IMAGE"),
            pull_policy=source.text("MODELYARD_IMAGE_PULL_POLICY", "IfNotPresent"),
        ),
        default_store_claim=source.text("MODELYARD_DEFAULT_STORE_CLAIM", "models"),
        monitor_url=source.text(
            "MODELYARD_MONITOR_URL", f"http://modelyard-monitor.{namespace}.svc:8080"
        ),
        kubeconfig=source.text("KUBECONFIG", "") or None,
        health_port=source.number("MODELYARD_HEALTH_PORT", 8081),
        metrics_port=source.number("MODELYARD_METRICS_PORT", 8080),
        log_level=source.text("MODELYARD_LOG_LEVEL", "INFO").upper(),
    )


class _Source:
    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def text(self, name: str, default: str | None = None) -> str:
        value = self._environment.get(name, default)
        if value is None:
            raise BadSettings(f"{name} is not set")
        return value

    def number(self, name: str, default: int) -> int:
        text = self.text(name, str(default))
        if not text.isdigit():
            raise BadSettings(f"{name} must be a whole number, not {text!r}")
        return int(text)
