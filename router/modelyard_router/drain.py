"""Envoy's preStop hook: leave when nobody finds this pod, nothing is open and all was counted."""

import json
import time
from dataclasses import asdict, dataclass
from http.client import HTTPConnection
from typing import Any

from modelyard_router.admin import EnvoyAdmin
from modelyard_router.settings import Settings
from modelyard_router.waiting import until

READ_TIMEOUT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Drained:
    """How a pod left."""

    idle: bool
    """No connection was open at the end."""
    counted: bool
    """The counters were read after the last request."""

    def __str__(self) -> str:
        return json.dumps(asdict(self))


def drain(settings: Settings) -> Drained:
    """Close connections as they answer, and return when none is left and the counters were read.

    Both waits are bounded: a client that never closes, or an operator that is away, cannot hold
    the pod.
    """
    envoy = EnvoyAdmin(settings.admin_port)
    envoy.fail_health_checks()
    time.sleep(settings.minimum_drain_seconds)
    idle = until(lambda: envoy.open_connections() == 0, settings.drain_limit_seconds)
    return Drained(idle=bool(idle), counted=_is_counted(settings))


def _is_counted(settings: Settings) -> bool:
    """Wait until a reading that begins from now on is answered, by an agent that is there."""
    port, seconds = settings.agent_port, settings.last_read_seconds
    first = until(lambda: _reads_now(port), seconds)
    if not first or not first[0]:
        return False
    begun = first[0]["begun"]
    return bool(until(lambda: _reads(port)["answered"] > begun, seconds))


def _reads_now(port: int) -> tuple[dict[str, Any]]:
    """Return both numbers, or none of an agent that has ended: waiting for it would not help."""
    try:
        return (_reads(port),)
    except ConnectionRefusedError:
        return ({},)


def _reads(port: int) -> dict[str, Any]:
    connection = HTTPConnection("127.0.0.1", port, timeout=READ_TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/v1/reads")
        return dict(json.loads(connection.getresponse().read()))
    finally:
        connection.close()
