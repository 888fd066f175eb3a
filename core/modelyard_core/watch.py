"""What the operator asks of the monitor, and what the monitor answers.

The operator PUTs a `Watch` for each DriftMonitor and gets the `Report` back.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Target:
    """Pods of one revision, all addresses of one headless name."""

    revision: str
    host: str
    port: int = 8080


@dataclass(frozen=True, slots=True)
class RetrainRule:
    """When a suspicion becomes a drift."""

    confirm_windows: int = 2
    confirm_of: int = 3


@dataclass(frozen=True, slots=True)
class Watch:
    """One DriftMonitor as the monitor needs it.  Seconds are whole."""

    deployment: str
    reference_digest: str
    """Bundle digest of the stable version: profile and windows belong to it."""
    reference_version: int
    targets: tuple[Target, ...]
    windows_seconds: tuple[int, ...]
    budget: float
    """False alarms allowed per `budget_seconds`."""
    budget_seconds: int
    min_rows: int
    feature_effect: float
    """PSI of a feature that is worth acting on."""
    prediction_effect: float
    exclude: tuple[str, ...] = ()
    max_missing_increase: float = 0.05
    new_categories: str = "Warn"
    """Warn | Block | Ignore."""
    confirm: RetrainRule = field(default_factory=RetrainRule)
    max_out_of_range: float = 0.9
    """Share of values outside the reference's range above which data is not trusted."""
    uid: str = ""
    """Of the DriftMonitor; another uid is another watch, and starts from nothing."""
    episode_floor: int = 0
    """New episodes get a higher number than this, also after the monitor lost its volume."""


class WindowState(StrEnum):
    """What one closed window says."""

    CALM = "Calm"
    DRIFT = "Drift"
    DATA_QUALITY = "DataQuality"
    """The data has a blocking problem, so that the window is no evidence for or against drift."""
    INSUFFICIENT_DATA = "InsufficientData"


@dataclass(frozen=True, slots=True)
class FeatureFinding:
    """One feature (or the prediction) in one closed window."""

    name: str
    psi: float
    p_value: float
    alpha: float
    """Share of the false-alarm budget that this test may spend."""
    drifting: bool
    moved: str = ""
    """The bin that moved most, in words: `30 % below -5 (reference 4 %)`."""


@dataclass(frozen=True, slots=True)
class WindowFinding:
    """The newest closed window of one scale."""

    seconds: int
    closed_at: datetime
    rows: int
    state: WindowState
    features: tuple[FeatureFinding, ...] = ()
    """Most significant first, at most 20."""
    prediction: FeatureFinding | None = None


@dataclass(frozen=True, slots=True)
class QualityProblem:
    """Data that should not be trained on."""

    feature: str
    kind: str
    """Missing | NewCategories | OutOfRange | Constant."""
    share: float
    reference: float
    blocking: bool
    sentence: str


class EpisodeState(StrEnum):
    """How far one drift has come."""

    STABLE = "Stable"
    SUSPECT = "Suspect"
    DRIFTING = "Drifting"


@dataclass(frozen=True, slots=True)
class Episode:
    """One drift from suspicion to calm.  `number` grows and is never used twice."""

    number: int
    state: EpisodeState
    since: datetime
    features: tuple[str, ...] = ()
    onset: datetime | None = None
    windows_hit: int = 0
    windows_needed: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """What the monitor knows of one watch."""

    at: datetime
    reference_digest: str
    rows_total: int = 0
    """Rows counted for this reference since its windows began."""
    pods: int = 0
    """Pods that answered the last scrape."""
    pods_failed: int = 0
    last_scrape: datetime | None = None
    windows: tuple[WindowFinding, ...] = ()
    quality: tuple[QualityProblem, ...] = ()
    episode: Episode | None = None
    alarms: int = 0
    """Alarms raised in the running budget period."""
    error: str = ""
    """Why nothing can be said, if so: no pod answers, the profile is missing."""
