"""Why a program cannot do its work, left where Kubernetes reads it from: in the pod's status.

It outlives the container, and needs no network: who cannot ask the process reads it there.
"""

import contextlib
from pathlib import Path

MAX_BYTES = 1024
"""Kubernetes keeps 4096 bytes of a container, and less where a pod has many."""


def leave(log: Path, sentence: str) -> None:
    """Write the sentence; a place that cannot be written to is no reason to fail."""
    with contextlib.suppress(OSError):
        log.write_bytes(sentence.encode()[:MAX_BYTES])
