"""Where the run finds its parts: the mounts of the pod, or what the command line says."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MOUNTS = {
    "request": "/modelyard/in/run.json",
    "data": "/modelyard/data",
    "store": "/modelyard/store",
    "scratch": "/tmp",  # noqa: S108 - an emptyDir of the pod
    "termination-log": "/dev/termination-log",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """The places of one attempt."""

    request: Path
    data: Path
    store: Path
    scratch: Path
    termination_log: Path
    attempt: str
    """Name of this attempt: the pod's name, different for every pod of a run."""


def read_settings(arguments: Sequence[str] | None = None) -> Settings:
    """Return the settings of this process; the defaults are the mounts of the Job."""
    parser = argparse.ArgumentParser(
        prog="modelyard-train", description="Train, prove and store one model."
    )
    for name, path in MOUNTS.items():
        parser.add_argument(f"--{name}", type=Path, default=Path(path), metavar="PATH")
    parser.add_argument(
        "--attempt",
        default=os.environ.get("HOSTNAME") or f"pid-{os.getpid()}",
        metavar="NAME",
        help="name of this attempt (default: the pod's name)",
    )
    return Settings(**vars(parser.parse_args(arguments)))
