"""What a process of ours answers while it is not ready, so that others can tell why."""

from dataclasses import dataclass

READY_PATH = "/v2/health/ready"
LOADING = "the model is being loaded"
"""The reason of a server that only needs time; any other one is worth a person's attention."""


@dataclass(frozen=True, slots=True)
class NotReadyAnswer:
    """The body beside status 503."""

    error: str
