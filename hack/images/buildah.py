"""buildah with storage of its own, so that nothing of this machine's other images is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hack import caches, programs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

RUNTIME = "/run/modelyard-images"


def command(*arguments: str | Path) -> list[str]:
    """Return a buildah command line."""
    root = caches.cache_root() / "buildah"
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


def commit(reference: str, content: Path, settings: Sequence[str] = ()) -> None:
    """Make an image of one layer from a file or an archive's content."""
    container = run("from", "scratch").strip()
    try:
        run("add", container, content, "/")
        run("config", *settings, container)
        run("commit", "--quiet", container, reference)
    finally:
        run("rm", container)
