"""What one run of the bench is asked for."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """How long and what."""

    rounds: int = 5
    seconds: float = 1.5
    starts: int = 3
    only: tuple[str, ...] = ()
    """Names of servers; empty for all."""

    def wants(self, name: str) -> bool:
        """Return whether a server is to be measured."""
        return not self.only or name in self.only
