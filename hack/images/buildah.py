"""buildah with storage of its own, so that nothing of this machine's other images is touched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from hack import caches, mounts, programs

if TYPE_CHECKING:
    from collections.abc import Sequence
RUNTIME = Path("/run/modelyard-images")
LOCK = Path("/run/modelyard-images.lock")


def storage() -> Path:
    """Return the folder with the images and layers."""
    return caches.cache_root() / "buildah"


def command(*arguments: str | Path) -> list[str]:
    """Return a buildah command line."""
    root = storage()
    root.mkdir(parents=True, exist_ok=True)
    return [
        "buildah",
        f"--root={root}",
        f"--runroot={RUNTIME}",
        "--storage-driver=overlay",
        *(str(part) for part in arguments),
    ]


def run(*arguments: str | Path, timeout_seconds: float = 600) -> str:
    """Call buildah."""
    return programs.run(command(*arguments), timeout_seconds=timeout_seconds)


def has(reference: str) -> bool:
    """Tell whether an image is in the storage."""
    return programs.succeeds(command("inspect", "--type=image", reference))


def layers(reference: str) -> list[str]:
    """Return the digests of an image's uncompressed layers, the lowest first."""
    found = json.loads(run("inspect", "--type=image", reference))
    return [str(digest) for digest in found["OCIv1"]["rootfs"]["diff_ids"]]


def commit(reference: str, content: Path, settings: Sequence[str] = ()) -> None:
    """Make an image of one layer from a file or an archive's content."""
    container = run("from", "scratch").strip()
    try:
        run("add", container, content, "/")
        run("config", *settings, container)
        run("commit", "--quiet", container, reference)
    finally:
        run("rm", container)


def unmount() -> None:
    """Take back the mounts that buildah keeps on its storage between its calls."""
    for mount in mounts.read():
        if mount.point.is_relative_to(storage()) or mount.point.is_relative_to(RUNTIME):
            mounts.unmount(mount)
