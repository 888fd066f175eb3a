"""The Debian packages that the local cluster and the image builds need."""

from __future__ import annotations

import os
from pathlib import Path

from hack import programs
from hack.terminal import Failure, step

NEEDED = {
    "containerd": "containerd",
    "runc": "runc",
    "containernetworking-plugins": "/usr/lib/cni/bridge",
    "nftables": "nft",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "iproute2": "ip",
    "kmod": "modprobe",
    "buildah": "buildah",
    "busybox-static": "/bin/busybox",
    "mmdebstrap": "mmdebstrap",
    "ca-certificates": "/etc/ssl/certs/ca-certificates.crt",
}
"""Each package with a program or file that shows it is there."""


def ensure_root() -> None:
    """Refuse to go on without root.

    Raises:
        Failure: The user is not root.
    """
    if os.geteuid() != 0:
        raise Failure(
            "without a Docker engine the cluster runs as processes of this machine and needs root; "
            "start a Docker engine, run as root, or set MODELYARD_CONTEXT to an existing context"
        )


def missing() -> list[str]:
    """Return the packages that are not installed."""
    return [package for package, proof in NEEDED.items() if not _is_there(proof)]


def ensure() -> None:
    """Install what is missing.

    Raises:
        Failure: There is no apt-get, or it could not install.
    """
    wanted = missing()
    if not wanted:
        return
    names = " ".join(wanted)
    if not programs.is_installed("apt-get"):
        raise Failure(
            f"these programs are missing and there is no apt-get to install them: {names}"
        )
    with step(f"installing Debian packages: {names}"):
        quiet = programs.environment(DEBIAN_FRONTEND="noninteractive")
        programs.run(["apt-get", "update", "--quiet"], env=quiet, timeout_seconds=300)
        programs.run(
            ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *wanted],
            env=quiet,
            timeout_seconds=900,
        )
    still = missing()
    if still:
        raise Failure(f"apt-get installed these without the files we need: {' '.join(still)}")


def _is_there(proof: str) -> bool:
    return Path(proof).exists() if proof.startswith("/") else programs.is_installed(proof)
