"""Go programs that benches and tests use: built once for their sources, and kept between runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hack import locks, programs

if TYPE_CHECKING:
    from pathlib import Path


def built(target: Path, folder: Path, package: str, *, timeout_seconds: float) -> Path:
    """Return a program, built in a module's folder if it is not there; one command at a time builds.

    `target` names the sources, so that others have another.

    Raises:
        Failure: Go is missing, or the build failed.
    """
    lock = target.with_suffix(".lock")
    locks.once(target, lock, lambda: _build(target, folder, package, timeout_seconds))
    return target


def _build(target: Path, folder: Path, package: str, seconds: float) -> None:
    making = target.with_suffix(".making")
    programs.run(
        ["go", "build", "-trimpath", "-o", making, package],
        cwd=folder,
        env=programs.environment(CGO_ENABLED="0"),
        timeout_seconds=seconds,
    )
    making.rename(target)
