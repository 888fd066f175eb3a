"""What the container may use, and a guard that ends the run before the kernel does.

A killed process leaves no sentence behind.  The guard looks at the memory in use a few times a
second and, close to the limit, gives the run the chance to say how much it needed.
"""

import os
import resource
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

CGROUP = Path("/sys/fs/cgroup")
NO_LIMIT = 1 << 60
"""The first version of control groups writes a number as large as this for "none"."""
LOOK_EVERY_SECONDS = 0.2
GUARD_SHARE = 0.93
"""Share of the memory limit at which the guard acts."""
MIB = 1 << 20
MANY_CELLS = 2_000_000
"""Below this many numbers one thread fits faster than several, and on a busy node much faster."""


def cpu_count(cgroup: Path = CGROUP) -> int:
    """Return how many threads are worth starting: the CPU limit, rounded up."""
    here = len(os.sched_getaffinity(0))
    quota, _, period = _read(cgroup / "cpu.max").partition(" ")
    if not quota:
        quota = _read(cgroup / "cpu" / "cpu.cfs_quota_us")
        period = _read(cgroup / "cpu" / "cpu.cfs_period_us")
    if not (quota.isdecimal() and period.isdecimal()):
        return here
    return max(1, min(here, -(-int(quota) // int(period))))


def useful_threads(cells: int, cpus: int) -> int:
    """Return how many threads a fit of so many numbers gains from."""
    return cpus if cells >= MANY_CELLS else 1


def memory_limit(cgroup: Path = CGROUP) -> int | None:
    """Return the memory limit in bytes, None when there is none."""
    text = _read(cgroup / "memory.max") or _read(cgroup / "memory" / "memory.limit_in_bytes")
    if not text.isdecimal() or int(text) >= NO_LIMIT:
        return None
    return int(text)


def memory_in_use() -> int:
    """Return the resident memory of this process in bytes."""
    pages = int(_read(Path("/proc/self/statm")).split()[1])
    return pages * resource.getpagesize()


def peak_memory() -> int:
    """Return the largest resident memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class MemoryGuard:
    """Calls `breach` once, from its own thread, when memory in use comes close to the limit."""

    def __init__(
        self,
        limit: int,
        breach: Callable[[str], None],
        in_use: Callable[[], int] = memory_in_use,
    ) -> None:
        self._limit = limit
        self._breach = breach
        self._in_use = in_use
        self._done = Event()
        self._thread = Thread(target=self._watch, name="memory-guard", daemon=True)

    def __enter__(self) -> "MemoryGuard":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            used = self._in_use()
            if used > self._limit * GUARD_SHARE:
                self._breach(
                    f"training uses {used // MIB} MiB of the limit of {self._limit // MIB} MiB; "
                    f"raise resources.limits.memory or train on fewer rows or a smaller model"
                )
                return
            if self._done.wait(LOOK_EVERY_SECONDS):
                return


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
