"""The state of a rollout as it is persisted: attempts, traffic, steps, evidence."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from modelyard_operator.api.base import ApiModel, ListMap
from modelyard_operator.api.v1alpha1.revision import RevisionName
from modelyard_operator.api.v1alpha1.rollout_strategy import MAX_CHECKS, MAX_ROUTERS, Rollout

MAX_TRACE = 64
"""Points of evidence that are kept for one check."""

Sentence = Annotated[str, Field(max_length=1024)]
Word = Annotated[str, Field(max_length=64)]


class Phase(StrEnum):
    """The whole deployment in one word, for people."""

    PENDING = "Pending"
    IDLE = "Idle"
    PROVISIONING = "Provisioning"
    SHADOWING = "Shadowing"
    RAMPING = "Ramping"
    PAUSED = "Paused"
    PROMOTING = "Promoting"
    DRAINING = "Draining"
    ABORTING = "Aborting"
    ABORTED = "Aborted"
    SUSPENDED = "Suspended"


class Stage(StrEnum):
    """Where an attempt is."""

    PROVISIONING = "Provisioning"
    STEPPING = "Stepping"
    PROMOTING = "Promoting"
    ABORTING = "Aborting"


class Start(StrEnum):
    """Why an attempt takes steps, or takes none."""

    INITIAL = "Initial"
    """Nothing serves yet: there is nothing to compare with, and nobody to harm."""
    CANARY = "Canary"
    """Every step must be earned."""
    ROLLBACK = "Rollback"
    """A revision that was stable before goes back without steps."""


class Outcome(StrEnum):
    """How an attempt ended."""

    PROMOTED = "Promoted"
    ABORTED = "Aborted"
    SUPERSEDED = "Superseded"
    ROLLED_BACK = "RolledBack"


class Finding(StrEnum):
    """What a check says about the candidate so far."""

    INSUFFICIENT_DATA = "InsufficientData"
    UNDECIDED = "Undecided"
    PASSING = "Passing"
    FAILING = "Failing"


class PauseReason(StrEnum):
    """Why an attempt stands still."""

    MANUAL_GATE = "ManualGate"
    USER_PAUSED = "UserPaused"
    INSUFFICIENT_DATA = "InsufficientData"


class TrafficTable(ApiModel):
    """Who gets which part of the requests."""

    version: int
    """Grows with every change."""
    stable: int
    """Parts of 1000."""
    canary: int
    """Parts of 1000."""
    mirror_percent: int
    """Percent of the requests that are copied."""


class AppliedTraffic(ApiModel):
    """What the routers have confirmed."""

    version: int
    """The newest version that every ready router has confirmed; 0 while there is none."""
    routers: Word
    """How many of the ready routers have confirmed the desired version, such as `2/2`."""


class TrafficStatus(ApiModel):
    """The wish and the fact, never merged."""

    desired: TrafficTable
    """What the routers are told."""
    applied: AppliedTraffic
    """What they have confirmed."""


class StepStatus(ApiModel):
    """The step that an attempt is in."""

    index: int
    """Counted from 0."""
    entered_at: datetime
    """When the step began."""
    started_at: datetime | None = None
    """When every router had confirmed its traffic: counting starts here."""
    measured_at: datetime | None = None
    """When requests were counted last."""
    blocked_since: datetime | None = None
    """Since when the candidate has had no ready pod, and therefore no traffic."""


class PauseStatus(ApiModel):
    """Why and since when an attempt stands still."""

    reason: PauseReason
    """ManualGate, UserPaused or InsufficientData."""
    since: datetime
    """Since when."""


class CheckStatus(ApiModel):
    """The evidence of one check.  Counts are of this step; `eHarm` is of the whole attempt."""

    name: Word
    """`errors`, `latency-50ms`."""
    decision: Finding = Finding.INSUFFICIENT_DATA
    """What it says."""
    e_harm: Word = "1"
    """Evidence that the candidate is worse than stable; at or above 1/alpha it is turned back."""
    e_pass: Word = "1"  # noqa: S105 (evidence, not a password)
    """Evidence that it is good enough; at or above 1/alpha the check passes."""
    n_canary: int = 0
    """Requests of the candidate."""
    bad_canary: int = 0
    """Bad events of the candidate."""
    n_stable: int = 0
    """Requests of stable in the same intervals."""
    bad_stable: int = 0
    """Bad events of stable in the same intervals."""
    log_harm: Annotated[tuple[int, ...], Field(max_length=8)] = ()
    """Natural logarithm of the evidence for each odds ratio, in millionths."""
    log_ratio: int = 0
    """Natural logarithm of the evidence against `margin`, in millionths."""


class ArmCursor(ApiModel):
    """How far one arm of one router has been counted."""

    answered: int = 0
    """Answers."""
    errors: int = 0
    """Answers with a status of 500 and above."""
    lost: int = 0
    """Requests that the client gave up on, seen in two readings."""
    lost_seen: int = 0
    """The same in the last reading alone."""
    timed: int = 0
    """Requests whose duration is known."""
    slow: Annotated[tuple[int, ...], Field(max_length=MAX_CHECKS)] = ()
    """Those of them that took longer than the threshold of each Latency check."""


class Cursor(ApiModel):
    """How far one router process has been counted."""

    boot: Word
    """The process."""
    stable: ArmCursor
    """Requests to stable."""
    canary: ArmCursor
    """Requests, or copies, to the candidate."""


class TracePoint(ApiModel):
    """The evidence of one check at one moment, for drawing it."""

    check: Word
    """The check."""
    at: datetime
    """When."""
    step: int
    """The step, counted from 0."""
    n: int
    """Requests of the candidate in the step."""
    harm: Word
    """log10 of eHarm."""
    good: Word
    """log10 of ePass."""


class RolloutStatus(ApiModel):
    """The attempt that is under way."""

    attempt: int
    """Its number; actions name it."""
    start: Start
    """Initial, Canary or Rollback."""
    revision: RevisionName
    """The candidate."""
    version: int
    """The number of its version."""
    stage: Stage
    """Where it is."""
    phase: Phase
    """The same for people: Shadowing, Ramping and Paused are parts of Stepping."""
    started_at: datetime
    """When it began."""
    step: StepStatus | None = None
    """The step, once it takes steps."""
    traffic: TrafficStatus | None = None
    """Desired and applied."""
    pause: PauseStatus | None = None
    """Present while it stands still."""
    outcome: Outcome | None = None
    """How it will have ended, while it is being wound up."""
    reason: Word = ""
    """Why."""
    message: Sentence = ""
    """Why, in a sentence."""
    strategy: Rollout
    """Steps and analysis as they were when it began; edits apply to the next attempt."""
    analysis: Annotated[tuple[CheckStatus, ...], Field(max_length=MAX_CHECKS), ListMap("name")] = ()
    """The evidence so far."""
    cursors: Annotated[tuple[Cursor, ...], Field(max_length=4 * MAX_ROUTERS)] = ()
    """How far the routers have been counted."""
    trace: Annotated[tuple[TracePoint, ...], Field(max_length=MAX_TRACE * MAX_CHECKS)] = ()
    """How the evidence came about."""


class AttemptRecord(ApiModel):
    """An attempt that has ended."""

    attempt: int
    """Its number."""
    revision: RevisionName
    """The candidate."""
    version: int
    """The number of its version."""
    start: Start
    """Initial, Canary or Rollback."""
    outcome: Outcome
    """Promoted, Aborted, Superseded or RolledBack."""
    reason: Word = ""
    """Why."""
    message: Sentence = ""
    """Why, in a sentence."""
    started_at: datetime
    """When it began."""
    finished_at: datetime
    """When it ended."""
    analysis: Annotated[tuple[CheckStatus, ...], Field(max_length=MAX_CHECKS), ListMap("name")] = ()
    """The evidence at its end."""


class DrainStatus(ApiModel):
    """A revision whose pods live on for a moment."""

    revision: RevisionName
    """Its name."""
    since: datetime | None = None
    """Since when no router sends it requests."""
