"""The way of an image into the local cluster's containerd."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from hack import caches, programs
from hack.cluster import layout
from hack.images import buildah

if TYPE_CHECKING:
    from hack.cluster.layout import Layout


def ctr(places: Layout, *arguments: str | Path, timeout_seconds: float = 60) -> str:
    """Call containerd's own client on our containerd."""
    return programs.run(
        ["ctr", f"--address={places.socket}", "--namespace=k8s.io", *arguments],
        timeout_seconds=timeout_seconds,
    )


def has(places: Layout, reference: str) -> bool:
    """Tell whether the node has an image."""
    return reference in ctr(places, "images", "list", "--quiet").split()


def load(places: Layout, reference: str) -> None:
    """Bring an image from buildah's storage into the node, without the layers it already has."""
    store = caches.cache_root() / "oci"
    store.mkdir(parents=True, exist_ok=True)
    folder = store / caches.key_of(reference)
    buildah.run("push", "--quiet", "--disable-compression", reference, f"oci:{folder}:{reference}")
    archive = folder.with_suffix(".tar")
    try:
        _pack(folder, archive, set(ctr(places, "content", "list", "--quiet").split()))
        ctr(places, "images", "import", archive, timeout_seconds=600)
    finally:
        archive.unlink(missing_ok=True)
        _remove(folder)


def ensure_pause(places: Layout) -> None:
    """Give the node the image that holds a pod's network: a program that sleeps."""
    if has(places, layout.PAUSE_IMAGE):
        return
    if not buildah.has(layout.PAUSE_IMAGE):
        # busybox looks at its own file name for what to do, so it keeps it.
        buildah.commit(
            layout.PAUSE_IMAGE,
            Path("/bin/busybox"),
            ['--entrypoint=["/busybox","sleep","2147483647"]', "--user=65535:65535"],
        )
    load(places, layout.PAUSE_IMAGE)


def _pack(folder: Path, archive: Path, present: set[str]) -> None:
    with tarfile.open(archive, "w") as sink:
        for name in ("oci-layout", "index.json"):
            sink.add(folder / name, name)
        for blob in sorted((folder / "blobs" / "sha256").iterdir()):
            if f"sha256:{blob.name}" not in present:
                sink.add(blob, f"blobs/sha256/{blob.name}")


def _remove(folder: Path) -> None:
    for blob in sorted(folder.rglob("*"), reverse=True):
        blob.rmdir() if blob.is_dir() else blob.unlink()
    folder.rmdir()


def digest_of(folder: Path) -> str:
    """Return the digest of the one image in an OCI folder."""
    return str(json.loads((folder / "index.json").read_text())["manifests"][0]["digest"])
