"""What was made once is found again under a key of what it was made from."""

import pytest
from hack import caches
from hack.cluster import binaries
from hack.images import base, build


@pytest.fixture
def tree(tmp_path):
    """Return a small repository with everything that an image is built from."""
    for name in build.COMMON_INPUTS + tuple(f"requirements/{room}.txt" for room in build.ROOMS):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name == "core":
            path.mkdir()
        else:
            path.write_text(name)
    for room in (*build.ROOMS, "core"):
        (tmp_path / room).mkdir(exist_ok=True)
        (tmp_path / room / "code.py").write_text(room)
    return tmp_path


def references(root):
    return {room: build.reference(room, root) for room in build.ROOMS}


def changed(before, after):
    return {room for room in before if before[room] != after[room]}


def test_the_same_inputs_have_the_same_reference(tree):
    assert references(tree) == references(tree)


@pytest.mark.parametrize(
    ("path", "rebuilt"),
    [
        ("serving/code.py", {"serving", "scoring"}),
        ("serving/new.py", {"serving", "scoring"}),
        ("training/code.py", {"training"}),
        ("requirements/monitor.txt", {"monitor"}),
        ("core/code.py", set(build.ROOMS)),
        ("pyproject.toml", set(build.ROOMS)),
    ],
)
def test_a_change_rebuilds_the_images_that_it_goes_into(tree, path, rebuilt):
    before = references(tree)

    (tree / path).write_text("changed")

    assert changed(before, references(tree)) == rebuilt


def test_what_a_test_run_leaves_behind_rebuilds_nothing(tree):
    before = references(tree)

    (tree / "serving" / "__pycache__").mkdir()
    (tree / "serving" / "__pycache__" / "code.cpython-311.pyc").write_bytes(b"\0")
    (tree / "docs.md").write_text("not copied into any image")

    assert references(tree) == before


def test_a_renamed_file_changes_the_key(tree):
    before = caches.tree_key(tree, ["serving"])

    (tree / "serving" / "code.py").rename(tree / "serving" / "other.py")

    assert caches.tree_key(tree, ["serving"]) != before


def test_a_file_that_became_executable_changes_the_key(tree):
    before = caches.tree_key(tree, ["serving"])

    (tree / "serving" / "code.py").chmod(0o755)

    assert caches.tree_key(tree, ["serving"]) != before


def test_parts_do_not_run_into_each_other():
    assert caches.key_of("ab", "c") != caches.key_of("a", "bc")


def test_another_go_has_other_binaries():
    assert binaries.cache_key("go version go1.26.8") != binaries.cache_key("go version go1.26.9")


@pytest.mark.parametrize(
    ("version", "enough"),
    [
        ("go version go1.26.8 linux/amd64", True),
        ("go version go1.27 linux/amd64", True),
        ("go version go1.25.9 linux/amd64", False),
        ("go version devel", False),
    ],
)
def test_an_old_go_is_refused(version, enough):
    assert binaries.is_new_enough(version) is enough


def test_the_base_image_is_pinned_to_the_name_in_the_dockerfiles():
    wanted = f"FROM {base.NAME.removeprefix('docker.io/library/')}"

    for room in build.ROOMS:
        lines = (caches.REPOSITORY / room / "Dockerfile").read_text().splitlines()
        assert [line for line in lines if line.startswith(wanted)]


def test_caches_follow_the_users_setting(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    assert caches.kubeconfig() == tmp_path / "modelyard" / "cluster" / "admin.conf"
