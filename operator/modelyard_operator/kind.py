"""What the machinery has to know about one kind.

The module `controller.py` of each kind folder exports `KIND`, made of the folder's functions:

    KIND = Kind(
        model=ModelTraining,
        observe=observed.observe,       # the only function that awaits
        decide=plan.decide,             # pure, total
        children=(resources.JOB, resources.CONFIG_MAP),
    )
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from modelyard_operator.actions import Decision
from modelyard_operator.api.base import CustomResource
from modelyard_operator.api.resources import Obj, Resource
from modelyard_operator.ports import Ports

M = TypeVar("M", bound=CustomResource)
W = TypeVar("W")


class Key(NamedTuple):
    """One object of ours."""

    kind: str
    namespace: str
    name: str


def nothing(_obj: Obj) -> Iterable[Key]:
    """Return no keys."""
    return ()


@dataclass(frozen=True, slots=True)
class Kind(Generic[M, W]):
    """One kind: how it is decoded, observed and decided, and what wakes it."""

    model: type[M]
    """The root model; `spec` is decoded by it once, and the decoded object is what follows."""
    observe: Callable[[M, Ports], Awaitable[W]]
    """Read everything at one instant, `now` included, into frozen dataclasses."""
    decide: Callable[[M, W], Decision]
    """Decide, purely; a bad world is a decision, never an exception."""
    headline: str = "Ready"
    """The condition that says whether the object is as its spec wants it."""
    children: tuple[Resource, ...] = ()
    """Kinds of children whose events wake their owner (found by owner reference, else by label)."""
    reads: Callable[[Obj], Iterable[Key]] = nothing
    """Given the object as JSON: whose changes must wake it."""
    touches: Callable[[Obj], Iterable[Key]] = nothing
    """Given the object as JSON: who must be woken, with all their readers, when it changes."""
    forget: Callable[[Key, Ports], Awaitable[None]] | None = None
    """Called after the object has gone, for state outside the cluster; must be idempotent."""
