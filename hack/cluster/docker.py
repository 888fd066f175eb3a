"""kind, where a Docker engine answers: a thin call of its own commands."""

from __future__ import annotations

from hack import caches, programs
from hack.terminal import Failure, say, step

NAME = "modelyard"
CONFIG = caches.REPOSITORY / "hack" / "kind.yaml"


def answers() -> bool:
    """Tell whether there is a Docker engine, not only its client."""
    return programs.is_installed("docker") and programs.succeeds(["docker", "info"])


def act(verb: str) -> bool:
    """Do one of the cluster verbs; the answer is whether all is well."""
    if not programs.is_installed("kind"):
        raise Failure(
            "a Docker engine answers, so kind is used, and it is not installed: https://kind.sigs.k8s.io"
        )
    exists = NAME in programs.run(["kind", "get", "clusters"]).split()
    match verb:
        case "up":
            _up(exists=exists)
        case "down" | "purge":
            programs.run(["kind", "delete", "cluster", f"--name={NAME}"])
            caches.kubeconfig().unlink(missing_ok=True)
        case _:
            say(f"kind cluster {NAME}: {'exists' if exists else 'does not exist'}")
            return exists
    return True


def load(reference: str) -> None:
    """Bring an image from the Docker engine into the cluster."""
    programs.run(["kind", "load", "docker-image", f"--name={NAME}", reference], timeout_seconds=600)


def _up(*, exists: bool) -> None:
    target = f"--kubeconfig={caches.kubeconfig()}"
    caches.cluster_state().mkdir(parents=True, exist_ok=True)
    if exists:
        programs.run(["kind", "export", "kubeconfig", f"--name={NAME}", target])
        return
    with step("creating a kind cluster"):
        programs.run(
            [
                "kind",
                "create",
                "cluster",
                f"--name={NAME}",
                f"--config={CONFIG}",
                target,
                "--wait=180s",
            ],
            timeout_seconds=900,
        )
