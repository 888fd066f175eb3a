"""The exception tree that crosses rooms.

    ModelyardError
    ├── Rejected      the user must change something; carries a reason code; no retry
    └── Unavailable   the world must change first; carries when to look again

Anything else is a bug and travels up untouched.
"""

from datetime import timedelta


class ModelyardError(Exception):
    """The root of what this product raises on purpose."""


class Rejected(ModelyardError):
    """The user must change something before this can work."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason
        self.sentence = sentence


class Unavailable(ModelyardError):
    """The world must change before this can work; trying again later is right."""

    def __init__(self, sentence: str, retry_after: timedelta | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.retry_after = retry_after


class ShapeError(ModelyardError):
    """A document from another process does not have the agreed shape."""
