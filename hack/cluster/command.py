"""`hack cluster up|down|purge|status`: choose the kind of cluster, then do it."""

from __future__ import annotations

import os
import sys

from hack.cluster import docker, existing, local
from hack.terminal import Failure

VERBS = ("up", "down", "purge", "status")


def main(arguments: list[str]) -> None:
    """Do what the one argument says.

    Raises:
        Failure: It is not one of the verbs, or it could not be done.
    """
    if len(arguments) != 1 or arguments[0] not in VERBS:
        raise Failure(f"one of these is expected: {', '.join(VERBS)}")
    verb = arguments[0]
    context = os.environ.get("MODELYARD_CONTEXT", "")
    if context:
        done = existing.act(verb, context)
    elif docker.answers():
        done = docker.act(verb)
    else:
        done = _act_locally(verb)
    if not done:
        sys.exit(1)


def _act_locally(verb: str) -> bool:
    match verb:
        case "up":
            local.up()
        case "down":
            local.down()
        case "purge":
            local.purge()
        case _:
            return local.status()
    return True
