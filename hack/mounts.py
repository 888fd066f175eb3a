"""The kernel's mount table."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path

from hack import programs
from hack.terminal import Failure


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of the table."""

    point: Path
    kind: str


def read() -> list[Mount]:
    """Return the mounts of now, the newest first."""
    return parse(Path("/proc/self/mountinfo").read_text())


def parse(table: str) -> list[Mount]:
    """Return the mounts of a text like /proc/self/mountinfo, the newest first."""
    mounts = []
    for line in table.splitlines():
        before, _, after = line.partition(" - ")
        point = re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), before.split()[4])
        mounts.append(Mount(Path(point.removesuffix("//deleted")), after.split()[0]))
    return mounts[::-1]


def unmount(mount: Mount) -> None:
    """Detach a mount, even while a process still has a file of it open."""
    with contextlib.suppress(Failure):
        programs.run(["umount", "--lazy", mount.point])


def any_below(folder: Path) -> Path | None:
    """Return something that is mounted in a folder, if there is any."""
    return next((each.point for each in read() if each.point.is_relative_to(folder)), None)
