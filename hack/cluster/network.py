"""The two bridges and the route that carry the cluster's addresses, on this machine only."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from hack import programs
from hack.cluster import layout
from hack.terminal import Failure

SWITCHES = {
    "net/ipv4/ip_forward": "1",
    "net/bridge/bridge-nf-call-iptables": "1",
}
"""The second lets the answer of a pod on the same bridge pass the service's translation again."""
PROXY_TABLES = (("ip", "kube-proxy"), ("ip6", "kube-proxy"))


def ensure() -> None:
    """Bring up what is missing of bridges, addresses, route and kernel switches."""
    _ensure_bridge(layout.NODE_BRIDGE, f"{layout.NODE_ADDRESS}/32")
    _ip("route", "replace", layout.SERVICE_RANGE, "dev", layout.NODE_BRIDGE)
    _ensure_bridge(layout.POD_BRIDGE, f"{layout.POD_GATEWAY}/24", layout.POD_BRIDGE_MAC)
    for name, value in SWITCHES.items():
        _ensure_switch(name, value)


def has_pod_bridge() -> bool:
    """Tell whether the bridge is there that pods hang on."""
    return _exists(layout.POD_BRIDGE)


def remove() -> None:
    """Remove our links, with them their addresses and routes, and kube-proxy's tables."""
    for link in _ports_of(layout.POD_BRIDGE):
        _remove_link(link)
    for bridge in (layout.POD_BRIDGE, layout.NODE_BRIDGE):
        if _exists(bridge):
            _remove_link(bridge)
    for family, table in PROXY_TABLES:
        if programs.succeeds(["nft", "list", "table", family, table]):
            programs.run(["nft", "delete", "table", family, table])


def has_proxy_tables() -> bool:
    """Tell whether some kube-proxy has left or keeps its rules here."""
    return any(programs.succeeds(["nft", "list", "table", *names]) for names in PROXY_TABLES)


def forget_pods() -> None:
    """Remove what the network plugin remembers of our pods."""
    for note in layout.CNI_RESULTS.glob(f"{layout.CNI_NETWORK}-*"):
        note.unlink(missing_ok=True)


def _ensure_bridge(name: str, address: str, mac: str | None = None) -> None:
    if not _exists(name):
        own = ["address", mac] if mac else []
        _ip("link", "add", name, *own, "type", "bridge")
    _ip("link", "set", name, "up")
    _ip("address", "replace", address, "dev", name)


def _ensure_switch(name: str, value: str) -> None:
    path = Path("/proc/sys") / name
    if not path.exists() and programs.is_installed("modprobe"):
        programs.succeeds(["modprobe", "br_netfilter"])
    if not path.exists():
        raise Failure(f"this kernel has no {path}; the module br_netfilter is missing")
    if path.read_text().strip() != value:
        path.write_text(value)


def _exists(link: str) -> bool:
    return Path("/sys/class/net", link).exists()


def _ports_of(bridge: str) -> list[str]:
    if not _exists(bridge):
        return []
    links = json.loads(programs.run(["ip", "-json", "link", "show", "master", bridge]) or "[]")
    return [str(link["ifname"]) for link in links if "ifname" in link]


def _remove_link(link: str) -> None:
    # A pod's end may vanish by itself when its namespace goes.
    with contextlib.suppress(Failure):
        _ip("link", "delete", link)


def _ip(*arguments: str) -> None:
    programs.run(["ip", *arguments])
