"""The machine: its cores, what it is, and what the processes of a server cost on it."""

from __future__ import annotations

import contextlib
import os
import platform
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hack.terminal import Failure

if TYPE_CHECKING:
    from collections.abc import Iterator

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")


def cores() -> tuple[int, int]:
    """Return the core of the servers and that of the load.

    Raises:
        Failure: there are not two.
    """
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise Failure("two cores are needed: one for the servers, one for the load")
    return allowed[0], allowed[-1]


def description() -> dict[str, str | int | float]:
    """Return what a reader must know of the machine."""
    info = (PROC / "cpuinfo").read_text()
    model = next((line for line in info.splitlines() if line.startswith("model name")), ":")
    memory = (PROC / "meminfo").read_text().split()[1]
    return {
        "processor": model.partition(":")[2].strip() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "gibibytes": round(int(memory) / 2**20, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "loadBefore": round(os.getloadavg()[0], 2),
    }


def family(leader: int) -> list[int]:
    """Return the living processes of a session, and the descendants that left it."""
    parents, sessions = {}, {}
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        fields = _stat(int(entry.name))
        if fields and fields[0] != "Z":
            parents[int(entry.name)], sessions[int(entry.name)] = int(fields[1]), int(fields[3])
    kept = {pid for pid, session in sessions.items() if session == leader}
    while more := {pid for pid, parent in parents.items() if parent in kept} - kept:
        kept |= more
    return sorted(kept)


def _stat(pid: int) -> list[str]:
    """Return the fields of a process after its name; nothing if it has ended."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def processor_seconds(pids: list[int]) -> float:
    """Return the user and system time that the processes have used."""
    found = [fields for pid in pids if (fields := _stat(pid))]
    return sum(int(fields[11]) + int(fields[12]) for fields in found) / TICKS


@contextlib.contextmanager
def coming_first(pids: list[int]) -> Iterator[None]:
    """Let processes come before all others on their cores meanwhile, where that is allowed.

    The kernel's own housekeeping takes a core for milliseconds from whoever shares it by the rules.
    """
    _schedule(pids, os.SCHED_FIFO, 1)
    try:
        yield
    finally:
        _schedule(pids, os.SCHED_OTHER, 0)


def _schedule(pids: list[int], policy: int, priority: int) -> None:
    for pid in pids:
        with contextlib.suppress(PermissionError, FileNotFoundError, ProcessLookupError):
            for thread in (PROC / str(pid) / "task").iterdir():
                os.sched_setscheduler(int(thread.name), policy, os.sched_param(priority))


def stolen_ticks() -> int:
    """Return the time that a hypervisor has kept the processors for others, in ticks."""
    return int((PROC / "stat").read_text().split(maxsplit=9)[8])


@dataclass(frozen=True, slots=True)
class Memory:
    """What some processes hold, in MiB, counted in two ways."""

    proportional: float
    """The kernel's PSS: a page that several processes use is divided among all of them."""
    alone: float
    """As if nobody else were on the machine: pages of files are not divided with strangers."""


def memory(pids: list[int]) -> Memory:
    """Return the memory of the processes, what they share among themselves counted once."""
    proportional, anonymous, files = 0, 0, Counter[str]()
    for pid in pids:
        try:
            rollup = (PROC / str(pid) / "smaps_rollup").read_text()
            mappings = (PROC / str(pid) / "smaps").read_text()
        except OSError:
            continue
        proportional += _kibibytes(rollup, "Pss")
        anonymous += _kibibytes(rollup, "Pss_Anon") + _kibibytes(rollup, "Pss_Shmem")
        files |= file_kibibytes(mappings)  # the larger count of each file
    return Memory(proportional / 1024, (anonymous + files.total()) / 1024)


def file_kibibytes(mappings: str) -> Counter[str]:
    """Return the resident size of each file that a process maps, from its `smaps`."""
    found = Counter[str]()
    for block in re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", mappings):
        head = block.partition("\n")[0].split(maxsplit=5)
        if len(head) == 6 and head[5].startswith("/") and not head[5].startswith("/dev/"):
            found[head[5]] += _kibibytes(block, "Rss") - _kibibytes(block, "Anonymous")
    return found


def _kibibytes(text: str, name: str) -> int:
    return int(text.partition(f"\n{name}:")[2].split()[0])
