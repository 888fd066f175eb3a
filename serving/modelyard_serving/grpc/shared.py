"""What the connections of one listener share; imports nothing that is not needed to listen."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from modelyard_serving.access import Access
from modelyard_serving.held_bytes import HeldBytes
from modelyard_serving.settings import Limits

if TYPE_CHECKING:
    from modelyard_serving.grpc.calls import Method

C = TypeVar("C")


@dataclass(slots=True)
class Shared(Generic[C]):
    """What all connections of one listener share."""

    methods: Mapping[bytes, "Method"]
    limits: Limits
    access: Access
    rejected: Callable[[str], object]
    """Counts a call that no method hears of, by its reason."""
    held: HeldBytes
    """Bytes of messages, and of answers that wait for a window."""
    connections: set[C] = field(default_factory=set)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """A connection has ended, or takes no new calls any more."""

    def crowd(self) -> float:
        """Return how many times as many connections there are as there may be."""
        return len(self.connections) / self.limits.max_connections
