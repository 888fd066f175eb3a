"""Pure condition algebra: what a pass claims becomes the list of conditions in the status.

The time of a condition moves only when its truth does, and each one names the generation that it
speaks about.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from modelyard_core.reasons import Reason
from modelyard_operator.api.base import ApiModel, ListMap
from modelyard_operator.api.resources import Obj

MAX_MESSAGE_LENGTH = 2048


class Truth(StrEnum):
    """Whether a condition holds."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(ApiModel):
    """One aspect of an object's state, as every Kubernetes tool reads it."""

    type: Annotated[str, Field(max_length=64)]
    """The aspect, in CamelCase."""
    status: Truth
    """True, False or Unknown."""
    reason: Annotated[str, Field(max_length=128)]
    """One CamelCase word for programs."""
    message: Annotated[str, Field(max_length=MAX_MESSAGE_LENGTH)] = ""
    """One sentence for people."""
    last_transition_time: datetime
    """When `status` last changed."""
    observed_generation: int = 0
    """The generation of the object that this condition speaks about."""


Conditions = Annotated[tuple[Condition, ...], Field(max_length=16), ListMap("type")]
"""The type of `status.conditions` in every kind."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What one pass says about one condition."""

    type: str
    status: Truth
    reason: str
    message: str = ""

    @classmethod
    def because(cls, type_: str, status: Truth, reason: Reason) -> "Claim":
        """Return the claim that renders a reason: its code, its sentence, its remedy."""
        message = f"{reason.sentence} {reason.remedy}".strip()
        return cls(type_, status, reason.code, message)


def settle(
    previous: Iterable[Condition], claims: Sequence[Claim], *, generation: int, now: datetime
) -> tuple[Condition, ...]:
    """Return the conditions after this pass, in the order of the claims.

    A condition that is not claimed is gone: a pass claims every type of its kind.
    """
    before = {condition.type: condition for condition in previous}
    return tuple(_settled(before.get(c.type), c, generation, now) for c in claims)


def _settled(before: Condition | None, claim: Claim, generation: int, now: datetime) -> Condition:
    unmoved = before is not None and before.status == claim.status
    return Condition(
        type=claim.type,
        status=claim.status,
        reason=claim.reason,
        message=claim.message[:MAX_MESSAGE_LENGTH],
        last_transition_time=(
            before.last_transition_time if before and unmoved else now.replace(microsecond=0)
        ),
        observed_generation=generation,
    )


def overlay(
    status: Obj, claims: Sequence[Claim], *, before: Obj, generation: int, now: datetime
) -> Obj:
    """Return a status (JSON) in which these claims replace the conditions of their types.

    For what only the shell learns: a spec that does not decode, a write that is refused.
    `before` is the live status, from which unmoved conditions keep their time.
    """
    claimed = {c["type"]: c for c in _settled_json(before, claims, generation, now)}
    present = status.get("conditions", [])
    merged = [claimed.pop(condition["type"], condition) for condition in present]
    return status | {
        "observedGeneration": generation,
        "conditions": [*merged, *claimed.values()],
    }


def _settled_json(
    before: Obj, claims: Sequence[Claim], generation: int, now: datetime
) -> list[Obj]:
    previous = [Condition.model_validate(c) for c in before.get("conditions", [])]
    settled = settle(previous, claims, generation=generation, now=now)
    return [condition.to_json() for condition in settled]


def find(conditions: Iterable[Condition], type_: str) -> Condition | None:
    """Return the condition of one type."""
    return next((c for c in conditions if c.type == type_), None)
