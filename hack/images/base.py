"""The base image where no registry answers: Debian's own Python under the official image's name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hack import caches, programs
from hack.images import buildah
from hack.terminal import step

if TYPE_CHECKING:
    from pathlib import Path

NAME = "docker.io/library/python:3.11-slim-bookworm"
SUITE = "bookworm"
# Without libstdc++6 many wheels fail to import, without libgomp1 those that use OpenMP.
PACKAGES = ("python3", "python3-venv", "ca-certificates", "libstdc++6", "libgomp1")
OPTIONS = (
    "--variant=essential",
    f"--include={','.join(PACKAGES)}",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
)


def key() -> str:
    """Return the key of the base image: what it is made from."""
    return caches.key_of(SUITE, *OPTIONS)


def ensure() -> None:
    """Make the base image if no earlier run has."""
    mark = f"modelyard.local/base:{key()}"
    if buildah.has(mark) and buildah.has(NAME):
        return
    archive = caches.cache_root() / "base" / f"{key()}.tar"
    if not archive.exists():
        with step("making the base image's files from Debian packages"):
            _bootstrap(archive)
    with step("making the base image"):
        buildah.commit(
            mark, archive, ["--env=LANG=C.UTF-8", "--env=PATH=/usr/local/bin:/usr/bin:/bin"]
        )
        buildah.run("tag", mark, NAME)


def _bootstrap(archive: Path) -> None:
    archive.parent.mkdir(parents=True, exist_ok=True)
    half = archive.with_name(f"{archive.stem}.half.tar")
    programs.run_logged(
        ["mmdebstrap", *OPTIONS, SUITE, half],
        caches.cache_root() / "logs" / "base.log",
        timeout_seconds=1200,
    )
    half.rename(archive)
