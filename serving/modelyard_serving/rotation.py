"""Files of a mounted Secret, read again while the server runs.

Kubernetes exchanges a mounted Secret as a whole, by turning the link `..data` to another folder.
The files are few, tiny and in memory: to read them now and then is cheap, and needs no events.
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

TAKEN, REFUSED = "taken", "refused"
Count = Callable[[str], None]
"""Is told what became of files that were read."""


class Mounted(Protocol):
    """Something that was read from files which may change."""

    def refresh(self) -> None:
        """Take over what the files hold now; never raise for what they hold."""


async def watch(mounted: Sequence[Mounted], seconds: float) -> None:
    """Refresh all of them again and again, until cancelled."""
    while mounted:
        await asyncio.sleep(seconds)
        for one in mounted:
            await asyncio.to_thread(one.refresh)


def steady(folder: Path) -> Path:
    """Return the folder that stays the same for a reader while Kubernetes turns the mount."""
    data = folder / "..data"
    return data.resolve() if data.exists() else folder


def read(file: Path, limit: int) -> bytes | None:
    """Return what a file holds; None where it cannot be read or holds more bytes than the limit."""
    try:
        with file.open("rb") as opened:
            data = opened.read(limit + 1)
    except OSError:
        return None
    return data if len(data) <= limit else None
