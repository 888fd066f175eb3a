"""The way of an image into the local cluster's containerd."""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hack import caches, programs
from hack.cluster import layout
from hack.images import buildah

if TYPE_CHECKING:
    from hack.cluster.layout import Layout


REFERENCE = "org.opencontainers.image.ref.name"
CONTAINERD_NAME = "io.containerd.image.name"


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
    tag = caches.key_of(reference)
    *below, _ = buildah.layers(reference)
    if not all(_blob(store, digest).exists() for digest in below):
        _export_layers(store, reference)
    buildah.run("push", "--quiet", reference, f"oci:{store}:{tag}")
    index = json.loads((store / "index.json").read_text())
    [entry] = [
        each for each in index["manifests"] if each.get("annotations", {}).get(REFERENCE) == tag
    ]
    manifest = json.loads(_blob(store, entry["digest"]).read_text())
    digests = [
        entry["digest"],
        manifest["config"]["digest"],
        *(layer["digest"] for layer in manifest["layers"]),
    ]
    entry["annotations"] = {REFERENCE: reference, CONTAINERD_NAME: reference}
    present = set(ctr(places, "content", "list", "--quiet").split())
    with tempfile.TemporaryDirectory(dir=store.parent) as folder:
        archive = Path(folder) / "image.tar"
        _pack(archive, {**index, "manifests": [entry]}, store, set(digests) - present)
        ctr(places, "images", "import", archive, timeout_seconds=600)


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


def _export_layers(store: Path, reference: str) -> None:
    """Put an image's layers into the store as they are.

    A push into an OCI folder would compress each of them, every time; it leaves alone those that are
    there already.
    """
    blobs = store / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=store.parent) as folder:
        exported = Path(folder) / "image"
        buildah.run("push", "--quiet", "--disable-compression", reference, f"dir:{exported}")
        for digest in buildah.layers(reference):
            name = digest.removeprefix("sha256:")
            (exported / name).rename(blobs / name)


def _pack(archive: Path, index: dict[str, object], store: Path, digests: set[str]) -> None:
    with tarfile.open(archive, "w") as sink:
        for name, value in (("oci-layout", {"imageLayoutVersion": "1.0.0"}), ("index.json", index)):
            data = json.dumps(value).encode()
            header = tarfile.TarInfo(name)
            header.size = len(data)
            sink.addfile(header, io.BytesIO(data))
        for digest in sorted(digests):
            sink.add(_blob(store, digest), f"blobs/{digest.replace(':', '/')}")


def _blob(store: Path, digest: str) -> Path:
    return store / "blobs" / digest.replace(":", "/")
