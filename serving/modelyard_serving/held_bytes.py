"""How much of the requests' bodies this process holds: one bound over all connections."""


class HeldBytes:
    """Counts what came and has not been answered yet."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._bytes = 0

    @property
    def total(self) -> int:
        """How many there are."""
        return self._bytes

    def take(self, size: int) -> bool:
        """Count so many more bytes; return False, and count nothing, where they are too many."""
        if self._bytes + size > self._limit:
            return False
        self._bytes += size
        return True

    def give_back(self, size: int) -> None:
        """Count so many less."""
        self._bytes -= size
