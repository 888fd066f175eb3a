"""What Prometheus wants to know of every process: its memory, time and files, and its Python."""

import os
import platform
import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from modelyard_serving.exposition import Family, single

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")
START, VIRTUAL_BYTES, RESIDENT_PAGES = 19, 20, 21
"""Places in /proc/self/stat, after the name of the program."""


def collect() -> Iterator[Family]:
    """Yield the metrics; without /proc, those that need none."""
    with suppress(OSError):
        yield from _memory_and_start()
    spent = os.times()
    yield single(
        "process_cpu_seconds_total",
        "counter",
        "Total user and system CPU time spent in seconds.",
        spent.user + spent.system,
    )
    with suppress(OSError):
        files = sum(1 for _ in (PROC / "self" / "fd").iterdir())
        yield single("process_open_fds", "gauge", "Number of open file descriptors.", files)
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield single("process_max_fds", "gauge", "Maximum number of open file descriptors.", most)
    yield _python()


def _memory_and_start() -> Iterator[Family]:
    fields = (PROC / "self" / "stat").read_text().rpartition(")")[2].split()
    _, _, after = (PROC / "stat").read_text().partition("\nbtime ")
    boot = float(after.split(maxsplit=1)[0])
    for name, what, value in (
        ("virtual_memory_bytes", "Virtual memory size in bytes.", float(fields[VIRTUAL_BYTES])),
        (
            "resident_memory_bytes",
            "Resident memory size in bytes.",
            float(fields[RESIDENT_PAGES]) * resource.getpagesize(),
        ),
        (
            "start_time_seconds",
            "Start time of the process since unix epoch in seconds.",
            boot + float(fields[START]) / TICKS,
        ),
    ):
        yield single(f"process_{name}", "gauge", what, value)


def _python() -> Family:
    major, minor, patch = platform.python_version_tuple()
    labels = {
        "implementation": platform.python_implementation(),
        "major": major,
        "minor": minor,
        "patchlevel": patch,
        "version": platform.python_version(),
    }
    return single("python_info", "gauge", "Python platform information", 1, labels)
