"""Who answers: what every sketch, page of answers and receipt names."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Identity:
    """One process that serves one bundle."""

    boot: str
    """Drawn when the process starts."""
    started: datetime
    model: str
    version: str
    digest: str
