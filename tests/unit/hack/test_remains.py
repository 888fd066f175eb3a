"""What belongs to our cluster is told from what others started."""

from pathlib import Path

import pytest
from hack import mounts
from hack.cluster import layout, remains
from hack.cluster.remains import Owner
from hack.mounts import Mount

STATE = Path("/home/me/.cache/modelyard/cluster")
SOCKET = Path("/run/modelyard/containerd.sock")
TABLE = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:26 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
41 22 0:40 / /mnt/with\\040space rw,relatime shared:1 master:2 - tmpfs tmpfs rw
"""


@pytest.fixture
def places(tmp_path):
    state = tmp_path / "cluster"
    (state / "volumes").mkdir(parents=True)
    return layout.Layout(state, tmp_path / "bin", tmp_path / "run")


@pytest.fixture
def owner(places):
    return Owner(places.state, remains.identity(places.state), remains.identity(places.volumes))


@pytest.mark.parametrize(
    ("argv", "ours"),
    [
        (("/bin/etcd", f"--data-dir={STATE}/etcd"), True),
        (("containerd", f"--config={STATE}/config/containerd.toml"), True),
        (("/bin/kubelet", "--root-dir=/var/lib/kubelet"), False),
        (("/bin/etcd", f"--data-dir={STATE}-of-another/etcd"), False),
        (("/usr/bin/tail", f"{STATE}/logs/etcd.log"), False),
        (("etcd",), False),
    ],
)
def test_a_component_is_ours_by_its_program_and_its_state_folder(argv, ours):
    assert remains.is_component(argv, STATE) is ours


@pytest.mark.parametrize(
    ("argv", "ours"),
    [
        (("/usr/bin/containerd-shim-runc-v2", "-address", str(SOCKET)), True),
        (("/usr/bin/containerd-shim-runc-v2", "-address", "/run/containerd/a.sock"), False),
        (("/usr/bin/ctr", "--address", str(SOCKET)), False),
    ],
)
def test_a_shim_is_ours_by_its_socket(argv, ours):
    assert remains.is_shim(argv, SOCKET) is ours


def test_the_mount_table_is_read_with_its_escapes_the_newest_first():
    assert mounts.parse(TABLE) == [
        Mount(Path("/mnt/with space"), "tmpfs"),
        Mount(Path("/sys/fs/cgroup/cpu"), "cgroup"),
        Mount(Path("/"), "ext4"),
    ]


def test_mounts_below_our_folders_are_ours(places, owner):
    inside = [places.kubelet / "pods" / "a", places.runtime / "containerd" / "b"]
    outside = [Path("/"), places.state.parent, Path("/var/lib/kubelet/pods/a")]

    assert all(remains.of_pods(Mount(point, "tmpfs"), places, owner) for point in inside)
    assert not any(remains.of_pods(Mount(point, "tmpfs"), places, owner) for point in outside)


def test_mounts_are_still_ours_when_the_state_folder_was_moved_away(places, owner):
    away = places.state.rename(places.state.with_name("cluster.away"))
    (away / "kubelet").mkdir()

    assert remains.of_pods(Mount(away / "kubelet" / "token", "tmpfs"), places, owner)


def test_the_state_of_another_cluster_is_not_ours(places, owner, tmp_path):
    other = tmp_path / "other" / "kubelet"
    other.mkdir(parents=True)

    assert not remains.of_pods(Mount(other / "token", "tmpfs"), places, owner)


def test_a_damaged_owner_note_names_nobody(tmp_path):
    (tmp_path / "owner.json").write_text('{"state": "/x"}')

    assert remains.read_owner(tmp_path) is None
