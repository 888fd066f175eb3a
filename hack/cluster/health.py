"""Questions to a cluster that is running: does it answer, is the node ready, do names resolve."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hack import programs
from hack.cluster import layout
from hack.terminal import Failure

if TYPE_CHECKING:
    from hack.cluster.layout import Layout


def kubectl(places: Layout, *arguments: str, text: str | None = None) -> str:
    """Call kubectl on the local cluster."""
    return programs.run(
        [places.program("kubectl"), f"--kubeconfig={places.kubeconfig}", *arguments],
        env=programs.direct_environment(),
        text=text,
        timeout_seconds=30,
    )


def api_answers(places: Layout) -> bool:
    """Tell whether the API server says that it is ready."""
    with contextlib.suppress(Failure):
        return kubectl(places, "get", "--raw", "/readyz", "--request-timeout=5s").strip() == "ok"
    return False


def node_is_ready(places: Layout, since: datetime | None = None) -> bool:
    """Tell whether the node is ready, and was heard of since a moment."""
    with contextlib.suppress(Failure, ValueError, KeyError):
        node = json.loads(kubectl(places, "get", "node", layout.NODE, "--output=json"))
        conditions = {each["type"]: each["status"] for each in node["status"]["conditions"]}
        return conditions.get("Ready") == "True" and (since is None or _heard(places, since))
    return False


def has_default_account(places: Layout) -> bool:
    """Tell whether pods can be made in the default namespace."""
    with contextlib.suppress(Failure):
        kubectl(places, "get", "serviceaccount", "default", "--namespace=default")
        return True
    return False


def names_resolve() -> bool:
    """Tell whether the cluster's DNS knows the API server's service."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(2)
        client.sendto(
            dns_question(f"kubernetes.default.svc.{layout.DOMAIN}"), (layout.POD_GATEWAY, 53)
        )
        return answer_count(client.recv(512)) > 0
    return False


def dns_question(name: str) -> bytes:
    """Return a DNS packet that asks for a name's IPv4 addresses."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split("."))
    return (
        struct.pack(">6H", 0x4D59, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", 1, 1)
    )


def answer_count(packet: bytes) -> int:
    """Return how many records a DNS answer has; none if it is not an answer."""
    if len(packet) < 12:
        return 0
    _, flags, _, answers, _, _ = struct.unpack(">6H", packet[:12])
    return int(answers) if flags & 0x8000 and flags & 0x000F == 0 else 0


def _heard(places: Layout, since: datetime) -> bool:
    lease = json.loads(
        kubectl(
            places,
            "get",
            "lease",
            layout.NODE,
            "--namespace=kube-node-lease",
            "--output=json",
        )
    )
    return datetime.fromisoformat(lease["spec"]["renewTime"]).astimezone(UTC) >= since
