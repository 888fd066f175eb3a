"""The closed set of things that a kind can ask the shell to do, and the decision that asks.

Actions are values: compared in tests, applied in order by `reconcile`, which stops at the first
failure.  Their meaning is idempotent; the next pass may ask again for what has been done.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from modelyard_operator.api.resources import Obj, Resource


@dataclass(frozen=True, slots=True)
class Create:
    """Create an immutable child under its derived name.

    Where the name is taken: a child whose controller is another object is a conflict; an object
    without owner (ModelVersion) must have the same spec.
    """

    obj: Obj


@dataclass(frozen=True, slots=True)
class Apply:
    """Server-side apply a child as `modelyard`, by force; skipped where it holds already.

    A child whose controller is another object is a conflict and stays untouched.
    """

    obj: Obj


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete one object and what it owns, in the background; only while it has this uid."""

    resource: Resource
    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Poke:
    """Write the routes annotation of pods, so that the kubelet refreshes their files at once."""

    namespace: str
    pods: tuple[str, ...]
    value: str


@dataclass(frozen=True, slots=True)
class Emit:
    """Tell of a transition by a Kubernetes Event; never repeat it for a state that lasts."""

    type: Literal["Normal", "Warning"]
    reason: str
    note: str


Action = Create | Apply | Delete | Poke | Emit


@dataclass(frozen=True, slots=True)
class Decision:
    """What one pass does: the actions in order, then the whole status, then when to look again.

    A kind that must persist before it acts returns the new status with no actions and
    `requeue_after=timedelta(0)`; the next pass reads what was persisted and acts.
    """

    actions: tuple[Action, ...]
    status: Obj
    """The complete status as JSON; written only where it differs from the live one."""
    requeue_after: timedelta | None = None
    """None: a watch event or the resync is early enough."""
