"""A virtual environment for each peer, made once from hash-locked requirements."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from hack import caches, programs

if TYPE_CHECKING:
    from pathlib import Path

INSTALL_SECONDS = 900


def lock_of(peer: str) -> Path:
    """Return the file that names every package of a peer, with version and hash."""
    return caches.REPOSITORY / "requirements" / f"bench-{peer}.txt"


def folder_of(peer: str) -> Path:
    """Return where a peer's environment is kept; another lock or Python is another folder."""
    key = caches.key_of(lock_of(peer).read_bytes(), sys.version)
    return caches.cache_root() / "bench" / f"{peer}-{key}"


def is_installed(peer: str) -> bool:
    """Return whether a peer's environment is complete."""
    return (folder_of(peer) / ".ready").exists()


def install(peer: str) -> None:
    """Make a peer's environment, if it is not there.

    Raises:
        Failure: a package cannot be had, or the environment cannot be made.
    """
    if is_installed(peer):
        return
    folder = folder_of(peer)
    shutil.rmtree(folder, ignore_errors=True)  # what an interrupted run left
    programs.run([sys.executable, "-m", "venv", folder], timeout_seconds=INSTALL_SECONDS)
    programs.run(
        [
            *(folder / "bin" / "python", "-m", "pip", "install", "--quiet"),
            *("--disable-pip-version-check", "--require-hashes", "--requirement", lock_of(peer)),
        ],
        timeout_seconds=INSTALL_SECONDS,
    )
    (folder / ".ready").touch()


def versions(peer: str, names: tuple[str, ...]) -> dict[str, str]:
    """Return the locked versions of some packages of a peer."""
    pins = dict(
        line.split(" ")[0].split("==", 1)
        for line in lock_of(peer).read_text().splitlines()
        if "==" in line and not line.startswith((" ", "#"))
    )
    return {name: pins[name] for name in names if name in pins}
