"""What the container may use, as the control group says."""

from threading import Event

import pytest

from modelyard_training import limits
from modelyard_training.limits import MIB, MemoryGuard

V1 = ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us", "memory/memory.limit_in_bytes")


@pytest.mark.parametrize(
    ("quota", "count"),
    [
        pytest.param("100000 100000\n", 1, id="one-cpu"),
        pytest.param("50000 100000\n", 1, id="half-a-cpu"),
        pytest.param("10000 100000\n", 1, id="never-zero"),
        pytest.param("", None, id="no-control-group"),
        pytest.param("max 100000\n", None, id="no-limit"),
    ],
)
def test_cpu_count(tmp_path, quota, count):
    (tmp_path / "cpu.max").write_text(quota)

    assert limits.cpu_count(tmp_path) == (count or limits.cpu_count(tmp_path / "none"))


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        pytest.param("1073741824\n", 1 << 30, id="limit"),
        pytest.param("max\n", None, id="no-limit"),
        pytest.param(None, None, id="no-control-group"),
    ],
)
def test_memory_limit(tmp_path, text, limit):
    if text is not None:
        (tmp_path / "memory.max").write_text(text)

    assert limits.memory_limit(tmp_path) == limit


@pytest.mark.parametrize(
    ("files", "cpus", "memory"),
    [
        pytest.param(("100000", "100000", "1073741824"), 1, 1 << 30, id="limited"),
        pytest.param(("-1", "100000", "9223372036854771712"), None, None, id="no-limits"),
    ],
)
def test_limits_of_the_first_version_of_control_groups(tmp_path, files, cpus, memory):
    for name, text in zip(V1, files, strict=True):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + "\n")

    assert limits.cpu_count(tmp_path) == (cpus or limits.cpu_count(tmp_path / "none"))
    assert limits.memory_limit(tmp_path) == memory


def test_memory_in_use_is_between_nothing_and_the_peak():
    assert 0 < limits.memory_in_use() <= limits.peak_memory() + 64 * MIB


def test_the_guard_speaks_before_the_limit_is_reached():
    spoken, said = Event(), []

    def breach(sentence):
        said.append(sentence)
        spoken.set()

    with MemoryGuard(1000 * MIB, breach, lambda: 940 * MIB):
        assert spoken.wait(120)

    assert said == [
        "training uses 940 MiB of the limit of 1000 MiB; raise resources.limits.memory "
        "or train on fewer rows or a smaller model"
    ]


def test_the_guard_is_silent_while_there_is_room():
    said = []

    with MemoryGuard(1000 * MIB, said.append, lambda: 900 * MIB):
        pass

    assert said == []


@pytest.mark.parametrize(("cells", "threads"), [(50_000, 1), (2_000_000, 8)])
def test_small_fits_gain_nothing_from_threads(cells, threads):
    assert limits.useful_threads(cells, 8) == threads
