"""`hack install` and `hack uninstall`: the chart, with the images built last."""

from __future__ import annotations

import json
import os

from hack import caches, programs
from hack.images import build
from hack.terminal import Failure, step

NAME = "modelyard"
NAMESPACE = "modelyard-system"
CHART = caches.REPOSITORY / "charts" / "modelyard"
READY_WITHIN = "180s"


def install(arguments: list[str]) -> None:
    """Install or upgrade the release; further arguments go to helm.

    Raises:
        Failure: There are no images or no cluster yet, or the release does not get ready.
    """
    images = chart_images()
    with step("installing the chart"):
        helm(
            "upgrade",
            "--install",
            NAME,
            str(CHART),
            "--create-namespace",
            # CRDs that were applied by hand before become the release's
            "--take-ownership",
            "--force-conflicts",
            "--force-conflicts",
            "--wait",
            f"--timeout={READY_WITHIN}",
            *(f"--set=images.{room}={reference}" for room, reference in images.items()),
            *arguments,
        )


def chart_images() -> dict[str, str]:
    """Return the references of the chart's images, as they were built last.

    Raises:
        Failure: None were.
    """
    if not caches.image_list().exists():
        raise Failure("there are no images yet: run `make images` first")
    images: dict[str, str] = json.loads(caches.image_list().read_text())
    return {room: image for room, image in images.items() if room not in build.FOR_USERS}


def uninstall(arguments: list[str]) -> None:
    """Remove the release and its namespace; the kinds and their objects stay."""
    with step("uninstalling the chart"):
        helm(
            "uninstall",
            NAME,
            "--ignore-not-found",
            "--wait",
            f"--timeout={READY_WITHIN}",
            *arguments,
        )
        kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=120s")


def helm(*arguments: str) -> None:
    """Call helm on the release's namespace."""
    _call("helm", "--namespace", NAMESPACE, *arguments)


def kubectl(*arguments: str) -> None:
    """Call kubectl."""
    _call("kubectl", *arguments)


def _call(program: str, *arguments: str) -> None:
    if not caches.kubeconfig().exists():
        raise Failure("there is no cluster yet: run `make cluster-up` first")
    path = f"{caches.programs()}{os.pathsep}{os.environ['PATH']}"
    programs.run(
        [program, f"--kubeconfig={caches.kubeconfig()}", *arguments],
        env=programs.direct_environment(PATH=path),
        timeout_seconds=300,
    )
