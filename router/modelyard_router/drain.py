"""Envoy's preStop hook: leave when nobody finds this pod, nothing is open and all was counted."""

import json
import time
from dataclasses import asdict, dataclass
from http.client import HTTPConnection
from typing import Any

from modelyard_router.admin import EnvoyAdmin
from modelyard_router.settings import Settings
from modelyard_router.waiting import NOT_YET, until

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
    """Wait until a reading that begins from now on is answered."""
    try:
        begun = _reads(settings.agent_port)["begun"]
    except NOT_YET:
        return False
    return bool(
        until(lambda: _reads(settings.agent_port)["answered"] > begun, settings.last_read_seconds)
    )


def _reads(port: int) -> dict[str, Any]:
    connection = HTTPConnection("127.0.0.1", port, timeout=READ_TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/v1/reads")
        return dict(json.loads(connection.getresponse().read()))
    finally:
        connection.close()
