"""Certificates and kubeconfigs, made by kubeadm, once for the life of the state folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hack import programs
from hack.cluster import components, layout
from hack.terminal import step

if TYPE_CHECKING:
    from hack.cluster.layout import Layout

COMPONENTS = ("kubelet", "controller-manager", "scheduler")


def ensure(places: Layout) -> None:
    """Make what is missing."""
    wanted = [name for name in COMPONENTS if not places.kubeconfig_of(name).exists()]
    if (places.pki / "sa.key").exists() and places.kubeconfig.exists() and not wanted:
        return
    places.configs.mkdir(parents=True, exist_ok=True)
    config = places.configs / "kubeadm.yaml"
    config.write_text(components.kubeadm_config(places))
    with step("making certificates"):
        _kubeadm(places, "certs", "all")
        for name in wanted:
            _kubeadm(places, "kubeconfig", name, f"--kubeconfig-dir={places.configs}")
        _make_admin(places)


def _make_admin(places: Layout) -> None:
    _kubeadm(places, "kubeconfig", "super-admin", f"--kubeconfig-dir={places.configs}")
    made = places.configs / "super-admin.conf"
    contexts = [str(places.program("kubectl")), f"--kubeconfig={made}", "config"]
    name = programs.run([*contexts, "current-context"]).strip()
    if name != layout.CONTEXT:
        programs.run([*contexts, "rename-context", name, layout.CONTEXT])
    made.chmod(0o600)
    made.replace(places.kubeconfig)


def _kubeadm(places: Layout, *phase: str) -> None:
    programs.run(
        [
            places.program("kubeadm"),
            "init",
            "phase",
            *phase,
            f"--config={places.configs / 'kubeadm.yaml'}",
        ],
        timeout_seconds=60,
    )
