"""The status of a ModelVersion: phase, who serves it, and why."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from modelyard_core.reasons import Reason, Severity
from modelyard_core.runs import Verdict
from modelyard_operator.api.conditions import Claim, Truth, settle
from modelyard_operator.api.resources import Obj
from modelyard_operator.api.v1alpha1.model_version import ModelVersion, ModelVersionStatus
from modelyard_operator.model_version.observed import Observed

Phase = Literal["Candidate", "Serving", "Retired", "Rejected"]

READY = "Ready"
RELEASABLE = "Releasable"
SERVING = "Serving"
RETIRED = "Retired"
REJECTED = "Rejected"
INCONCLUSIVE = "Inconclusive"
UNVERIFIED = "Unverified"


@dataclass(frozen=True, slots=True)
class History:
    """When the version has served, as the status remembers it."""

    first_served_at: datetime | None = None
    last_served_at: datetime | None = None

    @classmethod
    def read(cls, status: ModelVersionStatus | None) -> "History":
        """Return what a status remembers."""
        return cls(status.first_served_at, status.last_served_at) if status else cls()

    def seen(self, world: Observed) -> "History":
        """Return the history with this instant in it."""
        if world.is_stable:
            return replace(
                self, first_served_at=self.first_served_at or world.now, last_served_at=None
            )
        if self.first_served_at is not None and self.last_served_at is None:
            return replace(self, last_served_at=world.now)
        return self


def phase(version: ModelVersion, world: Observed, history: History) -> Phase:
    """Return what the version is used for, in one word."""
    if world.is_stable:
        return "Serving"
    if version.spec.verdict is Verdict.REJECTED:
        return "Rejected"
    return "Retired" if history.first_served_at else "Candidate"


def explain(version: ModelVersion, world: Observed, history: History) -> tuple[Reason, ...]:
    """Return why the version is what it is, the headline first."""
    number, name = version.spec.version, version.metadata.name
    because = f": {version.spec.verdict_reason}" if version.spec.verdict_reason else "."
    said = {
        Verdict.BLESSED: Reason(
            RELEASABLE, name, f"Version {number} passed every gate and may be rolled out."
        ),
        Verdict.REJECTED: Reason(
            REJECTED,
            name,
            f"Version {number} was rejected{because}",
            Severity.WARNING,
            remedy="Nothing rolls it out.",
        ),
        Verdict.INCONCLUSIVE: Reason(
            INCONCLUSIVE,
            name,
            f"Version {number} could not be judged{because}",
            Severity.WARNING,
            remedy="Pin it by its number to roll it out all the same.",
        ),
        Verdict.UNVERIFIED: Reason(
            UNVERIFIED,
            name,
            f"Version {number} was not judged: its training has no absolute gate.",
            Severity.WARNING,
            remedy="Pin it by its number to roll it out all the same.",
        ),
    }[version.spec.verdict]
    use = _use(version, world, history)
    return (use, said) if use else (said,)


def _use(version: ModelVersion, world: Observed, history: History) -> Reason | None:
    number, name = version.spec.version, version.metadata.name
    if world.is_stable:
        servers = ", ".join(s.deployment for s in world.served_by if s.role == "Stable")
        since = history.first_served_at
        return Reason(SERVING, name, f"Version {number} serves in {servers}.", since=since)
    if history.last_served_at is not None:
        return Reason(
            RETIRED,
            name,
            f"Version {number} served until {history.last_served_at:%Y-%m-%d %H:%M:%SZ}.",
            since=history.last_served_at,
        )
    return None


def render(version: ModelVersion, world: Observed, history: History, phase_now: Phase) -> Obj:
    """Return the whole status as JSON."""
    facts = explain(version, world, history)
    verdict = facts[-1]
    truth = Truth.TRUE if version.spec.verdict is Verdict.BLESSED else Truth.FALSE
    generation = version.metadata.generation
    headline = version.spec.headline or ""
    value = version.spec.metrics.get(headline)
    return ModelVersionStatus(
        observed_generation=generation,
        phase=phase_now,
        summary=facts[0].sentence,
        conditions=settle(
            version.status.conditions if version.status else (),
            [Claim.because(READY, truth, verdict)],
            generation=generation,
            now=world.now,
        ),
        served_by=world.served_by,
        metric=f"{headline} {float(value):.4g}" if value else "",
        first_served_at=history.first_served_at,
        last_served_at=history.last_served_at,
    ).to_json()
