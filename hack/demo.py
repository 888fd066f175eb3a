"""`hack demo-down`: take away what the demo made."""

from __future__ import annotations

import os

from hack import release
from hack.cluster import command

NAMESPACE = "weather"


def down(arguments: list[str]) -> None:
    """Delete the demo's cluster, or, in a cluster that it did not start, its objects and release."""
    if os.environ.get("MODELYARD_CONTEXT"):
        release.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=120s")
        release.uninstall(arguments)
    else:
        command.main(["purge"])
