"""Why something is as it is: the one shape behind conditions, events and messages."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Severity(StrEnum):
    """How much a reason wants of its reader."""

    INFO = "Info"
    WARNING = "Warning"
    """Something a person should know; nothing is broken."""
    ERROR = "Error"
    """Nothing more happens until a person acts."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One fact that explains a state, with its numbers and what to do about it."""

    code: str
    """CamelCase, stable, listed in the documentation."""
    subject: str
    """What it is about: a run, a version, a revision, a feature."""
    sentence: str
    """One sentence for people, numbers included."""
    severity: Severity = Severity.INFO
    numbers: Mapping[str, float] = field(default_factory=dict)
    since: datetime | None = None
    eta: datetime | None = None
    """When this is expected to change by itself."""
    remedy: str = ""
    """What a person can do now; empty when there is nothing to do."""
