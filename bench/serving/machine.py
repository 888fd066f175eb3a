"""The machine: its cores, what it is, and what the processes of a server cost on it."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from hack.terminal import Failure

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


def proportional_mebibytes(pids: list[int]) -> float:
    """Return the memory of the processes; what several share is counted once (PSS)."""
    total = 0
    for pid in pids:
        try:
            text = (PROC / str(pid) / "smaps_rollup").read_text()
        except OSError:
            continue
        total += int(text.partition("\nPss:")[2].split()[0])
    return total / 1024
