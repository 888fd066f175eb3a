"""What a cluster leaves on the machine, alive or dead, and how exactly that is taken away.

Everything here is recognised by something that only our cluster can have: the parent control group,
the socket in a shim's command line, the state folder in a component's, a mount below our folders.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hack import locks, mounts, programs
from hack.cluster import daemons, layout, network
from hack.cluster.layout import Layout
from hack.images import buildah
from hack.mounts import Mount
from hack.terminal import Failure, say

COMPONENTS = (
    "etcd",
    "kube-apiserver",
    "volumes",
    "kube-controller-manager",
    "kube-scheduler",
    "containerd",
    "kubelet",
    "kube-proxy",
    "coredns",
)
CONTAINER_LOGS = Path("/var/log/containers")
POD_WEIGHTS = {"cpu.shares": "8192", "cpu.weight": "800"}
"""All pods together weigh as much as eight busy processes beside them, such as a test run."""
SHIM_SOCKETS = Path("/run/containerd/s")
RUNC_STATE = Path("/run/containerd/runc/k8s.io")
Identity = tuple[int, int]
"""Device and inode: a folder keeps them when it is moved away."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose cluster this machine's addresses and runtime folder belong to."""

    state: Path
    state_identity: Identity
    volumes_identity: Identity


Belongs = Callable[[Mount, Layout, Owner | None], bool]


def refuse_others(places: Layout) -> None:
    """Make sure that no other cluster of this kind is alive here.

    Raises:
        Failure: The cluster of another state folder, or another kube-proxy, is.
    """
    owner = read_owner(places.runtime)
    if owner is not None and owner.state != places.state:
        for pid, _ in orphans(owner.state):
            raise Failure(
                f"the cluster of {owner.state} is running on this machine (pid {pid}); "
                "stop it first, with `make cluster-down` and its XDG_CACHE_HOME or HOME"
            )
    stranger = _foreign_proxy(places.state)
    if stranger is not None:
        raise Failure(
            f"another kube-proxy (pid {stranger}) manages this machine's service addresses; "
            "set MODELYARD_CONTEXT to use that cluster"
        )


def claim(places: Layout) -> None:
    """Take over from a dead cluster, and write down that the runtime folder is ours."""
    owner = read_owner(places.runtime)
    moved = owner is not None and owner.state_identity != identity(places.state)
    if moved or any(_strangers(places)):
        say("taking away what an earlier cluster left")
        clear(places)
    places.volumes.mkdir(parents=True, exist_ok=True)
    places.runtime.mkdir(parents=True, exist_ok=True)
    note = {
        "state": str(places.state),
        "state_identity": identity(places.state),
        "volumes_identity": identity(places.volumes),
    }
    (places.runtime / "owner.json").write_text(json.dumps(note))


def read_owner(runtime: Path) -> Owner | None:
    """Return who wrote the runtime folder; nothing if nobody did."""
    try:
        note = json.loads((runtime / "owner.json").read_text())
        return Owner(
            Path(note["state"]),
            (int(note["state_identity"][0]), int(note["state_identity"][1])),
            (int(note["volumes_identity"][0]), int(note["volumes_identity"][1])),
        )
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None


def identity(path: Path) -> Identity:
    """Return a folder's device and inode."""
    found = path.stat()
    return found.st_dev, found.st_ino


def orphans(state: Path) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield the components of the cluster of a state folder, whatever the pid files say."""
    for pid, argv in daemons.processes():
        if is_component(argv, state):
            yield pid, argv


def is_component(argv: tuple[str, ...], state: Path) -> bool:
    """Tell whether a command line is that of a component with this state folder."""
    return Path(argv[0]).name in COMPONENTS and any(f"{state}/" in part for part in argv[1:])


def shims(places: Layout) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield containerd's helpers, one a pod, which outlive it."""
    for pid, argv in daemons.processes():
        if is_shim(argv, places.socket):
            yield pid, argv


def is_shim(argv: tuple[str, ...], socket: Path) -> bool:
    """Tell whether a command line is that of a helper of the containerd with this socket."""
    return Path(argv[0]).name.startswith("containerd-shim") and str(socket) in argv[1:]


def clear(places: Layout) -> None:
    """Take away everything but the state folder and the caches."""
    owner = read_owner(places.runtime)
    states = {places.state} | ({owner.state} if owner else set())
    for state in states:
        for pid, argv in list(orphans(state)):
            daemons.kill(pid, argv)
    clear_pods(places)
    network.remove()
    if locks.is_free(buildah.LOCK):
        buildah.unmount()
    _unmount(places, owner, all_of_ours)
    for directory in (layout.VOLUMES_MOUNT, places.runtime / "containerd", places.runtime):
        _remove_below(directory, keep=directory == layout.VOLUMES_MOUNT)


def clear_pods(places: Layout) -> None:
    """End every pod and forget it, as a reboot would."""
    _kill_groups()
    for pid, argv in list(shims(places)):
        daemons.kill(pid, argv)
    programs.wait_until(lambda: not any(shims(places)), timeout_seconds=5)
    _forget_containers(places)
    _unmount(places, read_owner(places.runtime), of_pods)
    for directory in (places.runtime / "containerd", places.runtime / "addresses"):
        _remove_below(directory, keep=False)
    network.forget_pods()
    _remove_groups()
    for link in CONTAINER_LOGS.glob("*.log"):
        if link.is_symlink() and str(link.readlink()).startswith(f"{places.state}/"):
            link.unlink(missing_ok=True)


def mount_volumes(places: Layout) -> None:
    """Let the provisioner's fixed folder be the state folder's volumes."""
    places.volumes.mkdir(parents=True, exist_ok=True)
    places.volumes.chmod(0o755)
    layout.VOLUMES_MOUNT.mkdir(parents=True, exist_ok=True)
    if identity(layout.VOLUMES_MOUNT) != identity(places.volumes):
        programs.run(["mount", "--bind", places.volumes, layout.VOLUMES_MOUNT])


def all_of_ours(mount: Mount, places: Layout, owner: Owner | None) -> bool:
    """Tell whether a mount belongs to the cluster."""
    if mount.point == layout.VOLUMES_MOUNT:
        wanted = owner.volumes_identity if owner else _identity_or_none(places.volumes)
        return wanted is not None and _has_identity(mount.point, wanted)
    return of_pods(mount, places, owner)


def of_pods(mount: Mount, places: Layout, owner: Owner | None) -> bool:
    """Tell whether a mount belongs to a pod: below our folders, wherever they were moved."""
    if mount.point.is_relative_to(places.runtime) or mount.point.is_relative_to(places.state):
        return True
    if owner is None or not {"kubelet", "containerd"} & set(mount.point.parts):
        return False
    return any(_has_identity(parent, owner.state_identity) for parent in mount.point.parents)


def _has_identity(path: Path, wanted: Identity) -> bool:
    return _identity_or_none(path) == wanted


def _identity_or_none(path: Path) -> Identity | None:
    try:
        return identity(path)
    except OSError:
        return None


def _unmount(places: Layout, owner: Owner | None, belongs: Belongs) -> None:
    for mount in mounts.read():
        if belongs(mount, places, owner):
            mounts.unmount(mount)


def _kill_groups() -> None:
    def left() -> bool:
        found = False
        for group in _groups():
            for path in group.rglob("cgroup.procs"):
                for pid in _pids(path):
                    found = True
                    daemons.kill(pid, daemons.command_line(pid))
        return found

    programs.wait_until(lambda: not left(), timeout_seconds=10)


def _remove_groups() -> None:
    for group in _groups():
        for directory, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):
                Path(directory).rmdir()


def make_groups() -> None:
    """Make the parent control group of all pods, in each of the kernel's hierarchies."""
    for mount in _group_mounts():
        if mount.kind == "cgroup2":
            with contextlib.suppress(OSError):
                (mount.point / "cgroup.subtree_control").write_text(
                    "+cpuset +cpu +io +memory +pids"
                )
        group = mount.point / layout.CGROUP
        group.mkdir(exist_ok=True)
        for name, weight in POD_WEIGHTS.items():
            if (group / name).exists():
                (group / name).write_text(weight)


def _groups() -> list[Path]:
    roots = [mount.point / layout.CGROUP for mount in _group_mounts()]
    return [root for root in roots if root.is_dir()]


def _group_mounts() -> list[Mount]:
    return [mount for mount in mounts.read() if mount.kind in {"cgroup", "cgroup2"}]


def _pids(path: Path) -> list[int]:
    try:
        return [int(line) for line in path.read_text().split()]
    except OSError:
        return []


def _forget_containers(places: Layout) -> None:
    """Remove what runc, the helpers and the network plugin keep in folders that others use too."""
    tasks = places.runtime / "containerd" / "io.containerd.runtime.v2.task" / "k8s.io"
    for task in tasks.glob("*"):
        shutil.rmtree(RUNC_STATE / task.name, ignore_errors=True)
        (layout.CNI_RESULTS / f"cni-loopback-{task.name}-lo").unlink(missing_ok=True)
        note = task / "address"
        if note.exists():
            socket = Path(note.read_text().strip().removeprefix("unix://"))
            if socket.parent == SHIM_SOCKETS:
                socket.unlink(missing_ok=True)


def _strangers(places: Layout) -> Iterator[int]:
    """Yield components of ours whose pid files are lost, with who knows what state."""
    known = {
        record.pid
        for path in places.pids.glob("*")
        if (record := daemons.read_record(path)) is not None and daemons.is_running(record)
    }
    for pid, _ in orphans(places.state):
        if pid not in known:
            yield pid


def _foreign_proxy(state: Path) -> int | None:
    for pid, argv in daemons.processes():
        if Path(argv[0]).name == "kube-proxy" and not is_component(argv, state):
            return pid
    return None


def _remove_below(directory: Path, *, keep: bool) -> None:
    """Remove a folder, unless something is still mounted in it."""
    if mounts.any_below(directory):
        return
    if keep:
        with contextlib.suppress(OSError):
            directory.rmdir()
        return
    shutil.rmtree(directory, ignore_errors=True)
