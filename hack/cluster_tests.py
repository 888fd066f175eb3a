"""`hack test`: the levels that need a cluster, on one that is brought up for them."""

from __future__ import annotations

import os
import subprocess

from hack import caches, programs
from hack.cluster import command, docker, packages
from hack.images import build
from hack.release import install
from hack.terminal import Failure, say

WANTED = "tests/adapters, tests/cluster and the cluster part of tests/contract"


def main(arguments: list[str]) -> None:
    """Bring up cluster, images and release, then run the tests that need them.

    Raises:
        Failure: A cluster cannot be had although nothing may be left out, or a test failed.
    """
    try:
        _ensure_possible()
    except Failure as failure:
        if os.environ.get("CI") == "true":
            raise
        say(f"left out: {WANTED}, because {failure}")
        return
    if os.environ.get("CI") == "true":
        # What somebody left in a cluster must not decide whether the tests pass.
        command.main(["purge"])
    command.main(["up"])
    build.main([])
    install([])
    say("running the tests that need a cluster")
    done = subprocess.run(
        [caches.REPOSITORY / ".venv/bin/pytest", "-q", "-m", "cluster", *arguments],
        cwd=caches.REPOSITORY,
        env=programs.environment(
            KUBECONFIG=str(caches.kubeconfig()),
            PATH=f"{caches.programs()}{os.pathsep}{os.environ['PATH']}",
        ),
        check=False,
    )
    if done.returncode:
        raise Failure("tests that need a cluster failed; their output is above")


def _ensure_possible() -> None:
    """Find out beforehand whether a cluster can be had here."""
    if os.environ.get("MODELYARD_CONTEXT") or docker.answers():
        return
    packages.ensure_root()
    if not programs.is_installed("go"):
        raise Failure("neither a Docker engine nor Go is there to make a cluster with")
