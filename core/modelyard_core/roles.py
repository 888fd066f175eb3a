"""The parts that a revision can play in a rollout."""

from enum import StrEnum


class Role(StrEnum):
    """Whose answer a request got."""

    STABLE = "stable"
    CANARY = "canary"
    SHADOW = "shadow"
    DIRECT = "direct"
    """The request did not come through the router."""
