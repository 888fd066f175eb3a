"""Every name, address and folder of the local cluster, in one place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

VERSION = "1.36.3"
NODE = "node"
CONTEXT = "modelyard"

NODE_ADDRESS = "10.255.255.1"
"""Carried by a bridge without ports, so that nothing aimed at it can leave the machine."""
POD_RANGE = "10.244.0.0/16"
NODE_POD_RANGE = "10.244.0.0/24"
POD_GATEWAY = "10.244.0.1"
SERVICE_RANGE = "10.96.0.0/16"
DOMAIN = "cluster.local"

NODE_BRIDGE = "modelyard-node"
POD_BRIDGE = "modelyard-pods"
POD_BRIDGE_MAC = "0a:58:0a:f4:00:01"
"""Fixed, because a bridge otherwise changes its address with its ports."""
CNI_NETWORK = "modelyard"
CNI_RESULTS = Path("/var/lib/cni/results")
CNI_PROGRAMS = Path("/usr/lib/cni")

CGROUP = "modelyard"
"""The parent of every pod's control group: what runs below it is ours."""
VOLUMES_MOUNT = Path("/tmp/hostpath_pv")
"""Where the controller manager's host-path provisioner makes volumes; it cannot be told."""
PAUSE_IMAGE = "modelyard.local/pause:1"

ETCD_CLIENT = "http://127.0.0.1:12379"
ETCD_PEER = "http://127.0.0.1:12380"
API_SERVER = f"https://{NODE_ADDRESS}:6443"


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders of one cluster."""

    state: Path
    """Outlives a reboot: etcd, certificates, images, volumes, logs."""
    binaries: Path
    runtime: Path = Path("/run/modelyard")
    """Of this boot: sockets, network namespaces, pid records."""

    @property
    def configs(self) -> Path:
        """Return the folder of generated configuration files."""
        return self.state / "config"

    @property
    def pki(self) -> Path:
        """Return the folder of certificates and keys."""
        return self.state / "pki"

    @property
    def logs(self) -> Path:
        """Return the folder with one log file a component."""
        return self.state / "logs"

    @property
    def pids(self) -> Path:
        """Return the folder with one record a running component."""
        return self.state / "pids"

    @property
    def volumes(self) -> Path:
        """Return the folder that holds the host-path volumes."""
        return self.state / "volumes"

    @property
    def kubelet(self) -> Path:
        """Return the kubelet's root, with the pods' volumes mounted below it."""
        return self.state / "kubelet"

    @property
    def containerd(self) -> Path:
        """Return containerd's root: images and snapshots."""
        return self.state / "containerd"

    @property
    def socket(self) -> Path:
        """Return containerd's socket."""
        return self.runtime / "containerd.sock"

    @property
    def kubeconfig(self) -> Path:
        """Return the administrator's kubeconfig."""
        return self.state / "admin.conf"

    def kubeconfig_of(self, component: str) -> Path:
        """Return a component's own kubeconfig."""
        return self.configs / f"{component}.conf"

    def program(self, name: str) -> Path:
        """Return one of the programs built from Go modules."""
        return self.binaries / name
