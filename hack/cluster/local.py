"""The local cluster's life: up (repair, restart, rebuild), down, status."""

from __future__ import annotations

import functools
import shutil
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hack import caches, locks, mounts, programs
from hack.cluster import (
    binaries,
    certificates,
    components,
    daemons,
    health,
    layout,
    network,
    packages,
    remains,
)
from hack.cluster.layout import Layout
from hack.images import node
from hack.terminal import Failure, say, step

if TYPE_CHECKING:
    from hack.cluster.daemons import Daemon

LOCK = Path("/run/modelyard.lock")
START_SECONDS = 120
HEALTH_SECONDS = 240
_Condition = Callable[[], bool]
LISTENERS = (
    (layout.NODE_ADDRESS, 6443, "kube-apiserver"),
    (layout.NODE_ADDRESS, 10250, "kubelet"),
    ("127.0.0.1", 10248, "kubelet"),
    ("127.0.0.1", 10249, "kube-proxy"),
    ("127.0.0.1", 10256, "kube-proxy"),
    ("127.0.0.1", 10257, "kube-controller-manager"),
    ("127.0.0.1", 10259, "kube-scheduler"),
    ("127.0.0.1", 12379, "etcd"),
    ("127.0.0.1", 12380, "etcd"),
)


def up() -> None:
    """Bring the cluster up, whatever is left of it."""
    packages.ensure_root()
    with locks.held(LOCK):
        remains.refuse_others(_places(_some_binaries()))
        packages.ensure()
        places = _places(binaries.ensure())
        if is_healthy(places):
            say("the cluster is up and healthy")
            return
        _up(places)


def down() -> None:
    """Stop the cluster and take away all it put on the machine; its state stays in its folder."""
    packages.ensure_root()
    with locks.held(LOCK), step("stopping the cluster"):
        places = _places(_some_binaries())
        remains.refuse_others(places)
        _stop(places)


def purge() -> None:
    """Stop the cluster and delete its state; what was built stays in the caches."""
    packages.ensure_root()
    with locks.held(LOCK), step("stopping the cluster and deleting its state"):
        places = _places(_some_binaries())
        remains.refuse_others(places)
        _stop(places)
        _delete_state(places)


def status() -> bool:
    """Print how each part is; the answer is whether all is well."""
    places = _places(_some_binaries())
    for daemon in components.all_of(places):
        record = daemons.read_record(places.pids / daemon.name)
        alive = record is not None and daemons.is_running(record)
        pid = f"pid {record.pid}" if record is not None and alive else "-"
        print(f"{daemon.name:26}{'running' if alive else 'stopped':10}{pid}")
    answers = {
        "API server ready": health.api_answers(places) if places.kubeconfig.exists() else False,
        "node ready": health.node_is_ready(places) if places.kubeconfig.exists() else False,
        "names resolve": health.names_resolve(),
    }
    for question, answer in answers.items():
        print(f"{question:26}{'yes' if answer else 'no'}")
    print(
        f"kubeconfig: {places.kubeconfig}\nprograms:   {places.binaries}\nlogs:       {places.logs}"
    )
    return all(answers.values())


def is_healthy(places: Layout) -> bool:
    """Tell whether every program runs as it should, and the whole answers."""
    return (
        all(daemons.running(each, places.pids) for each in components.all_of(places))
        and health.api_answers(places)
        and health.node_is_ready(places)
        and health.names_resolve()
    )


def _up(places: Layout) -> None:
    """Try the gentle ways before the thorough one."""
    attempts = (
        ("starting what is not running", _nothing),
        ("stopping everything and starting anew", _stop),
        ("rebuilding the cluster from an empty state", _rebuild),
    )
    reasons = []
    for title, prepare in attempts:
        try:
            with step(title):
                prepare(places)
                _start(places)
        except Failure as failure:
            say(f"that did not help: {failure}")
            reasons.append(str(failure))
        else:
            say(f"the cluster is up; KUBECONFIG={places.kubeconfig}")
            return
    raise Failure(f"the cluster does not come up; logs: {places.logs}\n{reasons[-1]}")


def _nothing(_: Layout) -> None:
    pass


def _rebuild(places: Layout) -> None:
    _stop(places)
    _delete_state(places)


def _start(places: Layout) -> None:
    places.state.mkdir(parents=True, exist_ok=True)
    remains.claim(places)
    if not _has_pods(places):
        _stop_daemon(places, "kubelet")
        _stop_daemon(places, "containerd")
        remains.clear_pods(places)
    network.ensure()
    remains.make_groups()
    remains.mount_volumes(places)
    certificates.ensure(places)
    began = datetime.now(UTC)
    started = _ensure_running(places)
    _wait(places, began if "kubelet" in started else None)


def _has_pods(places: Layout) -> bool:
    """Tell whether pods of before still run, with all that they stand on."""
    return any(remains.shims(places)) and places.containerd.exists() and network.has_pod_bridge()


def _ensure_running(places: Layout) -> set[str]:
    started = set()
    for daemon in components.all_of(places):
        if daemons.running(daemon, places.pids):
            continue
        _stop_daemon(places, daemon.name)
        _refuse_taken_ports(daemon)
        daemons.start(daemon, places.pids, places.logs)
        started.add(daemon.name)
        _wait_for(daemon, places)
    return started


def _wait_for(daemon: Daemon, places: Layout) -> None:
    """Wait for those that the next program needs."""
    match daemon.name:
        case "kube-apiserver":
            _expect(places, daemon, "ready", lambda: health.api_answers(places))
            health.kubectl(
                places, "apply", "--server-side", "--force-conflicts", "-f", "-",
                text=components.addons(),
            )  # fmt: skip
        case "containerd":
            _expect(places, daemon, "reachable", lambda: _containerd_answers(places))
            node.ensure_pause(places)
        case _:
            pass


def _wait(places: Layout, heard_since: datetime | None) -> None:
    """Wait for the whole, starting again what ended meanwhile."""
    deadline = time.monotonic() + HEALTH_SECONDS
    while True:
        _ensure_running(places)
        if (
            health.node_is_ready(places, heard_since)
            and health.has_default_account(places)
            and health.names_resolve()
        ):
            return
        if time.monotonic() > deadline:
            raise Failure(f"no ready node with DNS after {HEALTH_SECONDS} s; logs: {places.logs}")
        time.sleep(0.5)


def _expect(places: Layout, daemon: Daemon, state: str, condition: _Condition) -> None:
    def ended_or_good() -> bool:
        return daemons.running(daemon, places.pids) is None or condition()

    in_time = programs.wait_until(ended_or_good, timeout_seconds=START_SECONDS)
    if not in_time or daemons.running(daemon, places.pids) is None:
        log = places.logs / f"{daemon.name}.log"
        ending = "\n  ".join(programs.last_lines(log, 4))
        raise Failure(f"{daemon.name} did not get {state}, see {log}:\n  {ending}")


def _stop(places: Layout) -> None:
    """Stop consumers before what they consume, pods between the kubelet and containerd."""
    for name in ("coredns", "kube-proxy", "kubelet"):
        _stop_daemon(places, name)
    _stop_daemon(places, "containerd")
    remains.clear_pods(places)
    for name in ("kube-scheduler", "kube-controller-manager", "volumes", "kube-apiserver", "etcd"):
        _stop_daemon(places, name)
    remains.clear(places)


def _stop_daemon(places: Layout, name: str) -> None:
    path = places.pids / name
    record = daemons.read_record(path)
    if record is not None:
        daemons.stop(record)
    path.unlink(missing_ok=True)


def _refuse_taken_ports(daemon: Daemon) -> None:
    for address, port, name in LISTENERS:
        free = functools.partial(_is_free, address, port)
        if name == daemon.name and not programs.wait_until(free, timeout_seconds=5):
            raise Failure(f"{daemon.name} needs {address}:{port}, which another program has")


def _is_free(address: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def _containerd_answers(places: Layout) -> bool:
    return programs.succeeds(["ctr", f"--address={places.socket}", "version"], timeout_seconds=5)


def _delete_state(places: Layout) -> None:
    busy = mounts.any_below(places.state)
    if busy:
        raise Failure(f"{busy} is still mounted, so the state is not deleted")
    for entry in places.state.glob("*"):
        if entry != places.logs:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def _places(programs_folder: Path) -> Layout:
    return Layout(state=caches.cluster_state(), binaries=programs_folder)


def _some_binaries() -> Path:
    return binaries.find() or caches.cache_root() / "bin" / "none"
