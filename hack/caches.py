"""Where things are kept between runs, and the keys under which they are found again."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


def cache_root() -> Path:
    """Return the folder for everything that can be made again."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "modelyard"


def cluster_state() -> Path:
    """Return the folder of the local cluster's state."""
    return cache_root() / "cluster"


def kubeconfig() -> Path:
    """Return the kubeconfig that every command here uses, whatever kind of cluster it is."""
    return cluster_state() / "admin.conf"


def programs() -> Path:
    """Return the folder with kubectl and helm, where they were built here."""
    return cache_root() / "bin" / "current"


def image_list() -> Path:
    """Return the file with the references of the images built last."""
    return cluster_state() / "images.json"


def key_of(*parts: str | bytes) -> str:
    """Return a short name for some inputs: equal inputs have equal names."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()[:16]


def tree_key(root: Path, names: list[str]) -> str:
    """Return a key for files and folders below a root: their paths, modes and contents."""
    parts: list[str | bytes] = []
    for path in sorted(found for name in names for found in _files(root / name)):
        parts += [
            path.relative_to(root).as_posix(),
            "x" if os.access(path, os.X_OK) else "-",
            path.read_bytes(),
        ]
    return key_of(*parts)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return [
        found
        for found in path.rglob("*")
        if found.is_file() and "__pycache__" not in found.parts and found.suffix != ".pyc"
    ]
