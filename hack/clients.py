"""The inference clients of other projects, in an environment of their own, kept under their lock.

They pin each other's dependencies in ways that the product's own environment must not follow.
"""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from hack import caches, locks, programs
from hack.terminal import say, step

if TYPE_CHECKING:
    from pathlib import Path

LOCK = caches.REPOSITORY / "requirements" / "clients.txt"


def ensure() -> Path:
    """Return the Python that has the clients, installing them if no earlier run has.

    Raises:
        Failure: They cannot be installed.
    """
    folder = caches.cache_root() / "clients" / caches.key_of(sys.version, LOCK.read_bytes())
    python = folder / "bin" / "python"
    locks.once(python, folder.with_suffix(".lock"), lambda: _install(folder))
    return python


def main(_: list[str]) -> None:
    """Install the clients where they are missing, and say where they are."""
    say(f"the clients' Python is {ensure()}")


def _install(folder: Path) -> None:
    half = folder.with_suffix(".half")
    shutil.rmtree(half, ignore_errors=True)
    log = caches.cache_root() / "logs" / "clients.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("")
    with step(
        f"installing the clients of other projects, hash-locked (about a minute; log: {log})"
    ):
        programs.run([sys.executable, "-m", "venv", half])
        # Most of what comes along is never imported: compiling it all would take twice as long.
        programs.run_logged(
            [
                half / "bin" / "python",
                *("-m", "pip", "--disable-pip-version-check", "install", "--no-compile"),
                *("--require-hashes", "--no-deps", "--requirement", LOCK),
            ],
            log,
        )
    half.rename(folder)
