"""`python3 -m hack <command>`: what the Makefile calls."""

from __future__ import annotations

import sys

from hack import clients, cluster_tests, demo, release
from hack.cluster import command
from hack.images import build
from hack.terminal import Failure, exit_with

COMMANDS = {
    "clients": clients.main,
    "cluster": command.main,
    "images": build.main,
    "install": release.install,
    "uninstall": release.uninstall,
    "test": cluster_tests.main,
    "demo-down": demo.down,
}


def main() -> None:
    """Run the command that the arguments name."""
    name, *rest = sys.argv[1:] or [""]
    if name not in COMMANDS:
        exit_with(Failure(f"one of these is expected: {', '.join(COMMANDS)}"))
    try:
        COMMANDS[name](rest)
    except Failure as failure:
        exit_with(failure)


if __name__ == "__main__":
    main()
