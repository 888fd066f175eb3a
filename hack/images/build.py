"""Build the six images where their inputs changed, and bring them into the cluster."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from hack import caches, locks, programs
from hack.cluster import docker, layout, packages
from hack.images import base, buildah, node, pip_settings
from hack.terminal import Failure, say, step

if TYPE_CHECKING:
    from pathlib import Path

REGISTRY = "modelyard.dev"
ROOMS = ("operator", "training", "serving", "scoring", "router", "monitor")
CODE = {"scoring": ("scoring", "serving")}
"""Where an image's own code is, where that is not its room alone."""
FOR_USERS = ("scoring",)
"""Images of Jobs that users write: the release does not know them."""
COMMON_INPUTS = ("pyproject.toml", "README.md", ".dockerignore", "requirements/build.txt", "core")
PIP_ARGUMENTS = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST")


def inputs(room: str) -> list[str]:
    """Return the files and folders that go into a room's image."""
    return [*COMMON_INPUTS, f"requirements/{room}.txt", *CODE.get(room, (room,))]


def reference(room: str, root: Path = caches.REPOSITORY) -> str:
    """Return the image's reference; it changes exactly when what goes into the image does."""
    key = caches.key_of(base.key(), caches.tree_key(root, inputs(room)))
    return f"{REGISTRY}/{room}:dev-{key}"


def main(arguments: list[str]) -> None:
    """Build and load all six images, or those that are named.

    Raises:
        Failure: A name is unknown, or a build failed.
    """
    unknown = set(arguments) - set(ROOMS)
    if unknown:
        raise Failure(f"these images are known: {', '.join(ROOMS)}")
    rooms = arguments or list(ROOMS)
    references = {room: reference(room) for room in rooms}
    if docker.answers():
        _with_docker(references)
    else:
        with locks.held(buildah.LOCK):
            try:
                _with_buildah(references)
            finally:
                buildah.unmount()
    _write(references)


def _with_docker(references: dict[str, str]) -> None:
    pip = [
        f"--build-arg={name}={os.environ[name]}" for name in PIP_ARGUMENTS if os.environ.get(name)
    ]
    for room, wanted in references.items():
        if not programs.succeeds(["docker", "image", "inspect", wanted]):
            with step(f"building {wanted}"):
                programs.run_logged(
                    ["docker", "build", f"--file={room}/Dockerfile", f"--tag={wanted}", *pip, "."],
                    _log(room),
                    cwd=caches.REPOSITORY,
                )
        if not os.environ.get("MODELYARD_CONTEXT"):
            docker.load(wanted)


def _with_buildah(references: dict[str, str]) -> None:
    packages.ensure_root()
    packages.ensure()
    missing = {room: wanted for room, wanted in references.items() if not buildah.has(wanted)}
    if missing:
        base.ensure()
    for room, wanted in missing.items():
        with step(f"building {wanted}"):
            _bud(room, wanted)
    if os.environ.get("MODELYARD_CONTEXT"):
        say("the images are in buildah's storage; push them to a registry that the cluster reads")
        return
    places = layout.Layout(caches.cluster_state(), caches.programs())
    if not places.socket.exists():
        raise Failure("the images are built, and no cluster is up to load them into")
    for wanted in references.values():
        if node.has(places, wanted):
            say(f"the cluster has {wanted}")
            continue
        with step(f"loading {wanted}"):
            node.load(places, wanted)


def _bud(room: str, wanted: str) -> None:
    settings = pip_settings.read()
    cache = caches.cache_root() / "pip"
    cache.mkdir(parents=True, exist_ok=True)
    config = caches.cache_root() / "pip.conf"
    config.write_text(pip_settings.config_file(settings))
    config.chmod(0o600)
    log = _log(room)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("")
    programs.run_logged(
        buildah.command(
            "bud",
            "--pull-never",
            "--layers",
            "--isolation=chroot",
            "--network=host",
            f"--volume={config}:/etc/pip.conf:ro",
            f"--volume={cache}:/root/.cache/pip",
            *pip_settings.mounts(settings),
            f"--file={room}/Dockerfile",
            f"--tag={wanted}",
            ".",
        ),
        log,
        cwd=caches.REPOSITORY,
    )


def _write(references: dict[str, str]) -> None:
    """Remember the references for the install; those not built now stay as they were."""
    target = caches.image_list()
    known: dict[str, str] = json.loads(target.read_text()) if target.exists() else {}
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps({**known, **references}, indent=2) + "\n")
    say(f"references written to {target}")


def _log(room: str) -> Path:
    return caches.cache_root() / "logs" / f"image-{room}.log"
