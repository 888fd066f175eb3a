"""DriftMonitor: what is watched, what counts as drift, and what drift sets off."""

from datetime import datetime
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from modelyard_core.watch import EpisodeState, WindowState
from modelyard_operator.api.base import ApiModel, Cel, Column, CustomResource, Rules, Status
from modelyard_operator.api.conditions import Conditions
from modelyard_operator.api.resources import DRIFT_MONITOR
from modelyard_operator.api.v1alpha1 import common

MAX_WINDOWS = 6
MAX_FINDINGS = 5
MAX_NAME = 63

WINDOW_RULE = Cel(
    r"self.matches('^([1-9][0-9]{0,3}m|([1-9][0-9]?|[1-6][0-9][0-9]|7[01][0-9]|720)h|"
    r"([1-9]|[12][0-9]|30)d)$')",
    "a length here is 1m to 30d in whole minutes, hours or days, such as 1h",
)
Span = Annotated[str, Field(min_length=2, max_length=5), Rules(WINDOW_RULE)]
"""A length of time in whole minutes, hours or days."""

EFFECT_RULE = Cel(
    "double(self.minimumEffect) >= 0.001 && double(self.minimumEffect) <= 10.0",
    "minimumEffect is a PSI from 0.001 to 10; 0.05 is a change worth knowing, 0.1 one worth acting "
    "on",
)

Word = Annotated[str, Field(max_length=64)]
Sentence = Annotated[str, Field(max_length=1024)]
FeatureName = Annotated[str, Field(min_length=1, max_length=128)]
Number = Annotated[str, Field(max_length=24)]


class FalseAlarms(ApiModel):
    """How many false alarms are allowed, and in which time."""

    RULES: ClassVar[tuple[Cel, ...]] = (
        Cel(
            "double(self.budget) > 0.0 && double(self.budget) <= 100.0",
            "budget must be above 0 and at most 100: false alarms within `per`, such as 0.5",
        ),
    )

    budget: common.PositiveDecimal = "0.5"
    """False alarms that may be expected within `per` while nothing has changed."""
    per: Span = "30d"
    """The time that the budget is for."""


class FeatureTests(ApiModel):
    """The tests of the model's inputs."""

    RULES: ClassVar[tuple[Cel, ...]] = (EFFECT_RULE,)

    minimum_effect: common.PositiveDecimal = "0.05"
    """The smallest population stability index of a feature that counts as drift."""
    exclude: Annotated[tuple[FeatureName, ...], Field(max_length=256)] = ()
    """Features that are not tested, such as one that moves harmlessly all along."""


class PredictionTests(ApiModel):
    """The test of the model's answers."""

    RULES: ClassVar[tuple[Cel, ...]] = (EFFECT_RULE,)

    minimum_effect: common.PositiveDecimal = "0.05"
    """The smallest population stability index of the predictions that counts as drift."""


class Quality(ApiModel):
    """What makes data too bad to be trained on.  It blocks retraining until it is gone."""

    max_missing_increase: common.Fraction = "0.05"
    """How much the share of missing values of a feature may grow."""
    new_categories: Literal["Warn", "Block", "Ignore"] = "Warn"
    """What categories do that training never saw."""
    max_out_of_range: common.Fraction = "0.9"
    """The largest share of a feature's values outside the range of the training data; more looks
    like another unit rather than another world."""


class Confirm(ApiModel):
    """How often drift must be seen before it is believed."""

    RULES: ClassVar[tuple[Cel, ...]] = (
        Cel(
            "self.windows <= self.of",
            "confirm.windows must not be above confirm.of; 2 of 3 is a good start",
        ),
    )

    windows: Annotated[int, Field(ge=1, le=10)] = 2
    """How many of the last `of` windows of one length must find drift."""
    of: Annotated[int, Field(ge=1, le=10)] = 3
    """How many windows of one length are looked at; as many quiet ones in a row end the drift."""


class Retrain(ApiModel):
    """What drift sets off."""

    training: common.Name
    """The ModelTraining that is asked to train again."""
    confirm: Confirm = Field(default_factory=Confirm)
    """How often drift must be seen before it is believed."""
    cooldown: common.Duration = "24h"
    """How long no further request is made after one has ended."""
    max_per_30d: Annotated[int, Field(ge=1, le=100, alias="maxPer30d")] = 4
    """Most requests within 30 days."""


class DriftMonitorSpec(ApiModel):
    """What is watched, and what counts as drift."""

    deployment: common.Name
    """The ModelDeployment whose stable revision is watched."""
    windows: Annotated[tuple[Span, ...], Field(min_length=1, max_length=MAX_WINDOWS)] = (
        "1h",
        "4h",
        "24h",
        "7d",
    )
    """Lengths of time over which requests are compared with the training data: short ones find
    strong drift soon, long ones find weak drift at all."""
    false_alarms: FalseAlarms = Field(default_factory=FalseAlarms)
    """How many false alarms are allowed; divided over windows, features and kinds of tests."""
    min_rows: Annotated[int, Field(ge=50, le=10_000_000)] = 200
    """A window with fewer rows says nothing: InsufficientData."""
    features: FeatureTests = Field(default_factory=FeatureTests)
    """The tests of the model's inputs."""
    predictions: PredictionTests = Field(default_factory=PredictionTests)
    """The test of the model's answers."""
    quality: Quality = Field(default_factory=Quality)
    """What makes data too bad to be trained on."""
    retrain: Retrain | None = None
    """What drift sets off; nothing when absent."""


class Reference(ApiModel):
    """The version that requests are compared with."""

    revision: Annotated[str, Field(max_length=63)]
    """The revision of the ModelDeployment."""
    version: int
    """The number of its version."""
    digest: Annotated[str, Field(max_length=71)]
    """Its bundle's digest."""
    since: datetime
    """Since when it has been the reference."""


class EpisodeStatus(ApiModel):
    """The drift that is open, or the last one."""

    number: int
    """Counts the episodes of this monitor."""
    state: EpisodeState
    """Stable, Suspect or Drifting."""
    since: datetime
    """Since when it has been in this state."""
    onset: datetime | None = None
    """When the first window began that found it."""
    features: Annotated[tuple[FeatureName, ...], Field(max_length=MAX_FINDINGS)] = ()
    """What drifts, most significant first; `prediction` is the model's answers."""
    confirmed: Word = ""
    """Windows that found it, and how many are needed: `2/2`."""


class FindingStatus(ApiModel):
    """One feature, or the predictions, in one window."""

    name: FeatureName
    """The feature; `prediction` is the model's answers."""
    psi: Number
    """The population stability index."""
    p_value: Number
    """The probability of this much or more if the true index were `minimumEffect`."""
    alpha: Number
    """Drift is found at or below this probability: the test's share of the budget."""
    moved: Annotated[str, Field(max_length=200)] = ""
    """What moved most: `30 % above 5 (reference 4 %)`."""


class WindowStatus(ApiModel):
    """The newest window of one length that says something new."""

    window: Word
    """Its length."""
    state: WindowState
    """Calm, Drift, DataQuality or InsufficientData."""
    rows: int
    """Its rows."""
    closed_at: datetime
    """When it ended."""
    findings: Annotated[tuple[FindingStatus, ...], Field(max_length=MAX_FINDINGS)] = ()
    """What drifts; where nothing does, what is nearest to it."""


class ProblemStatus(ApiModel):
    """Something that is wrong with the data."""

    feature: FeatureName
    """The feature."""
    kind: Word
    """Missing, NewCategories, OutOfRange or Constant."""
    blocking: bool
    """Whether it blocks retraining."""
    sentence: Sentence
    """What is wrong, with numbers."""


class RetrainRequest(ApiModel):
    """What the ModelTraining is asked for; it answers in its own `status.requests`."""

    id: Annotated[str, Field(max_length=128)]
    """`<name>-<episode>`: the same whatever restarts."""
    episode: int
    """The episode that asks."""
    requested_at: datetime
    """When it was asked."""
    served_digest: Annotated[str, Field(max_length=71)]
    """The version that drifted."""
    reason: Sentence
    """Why."""


class RetrainRecord(ApiModel):
    """A request that has ended."""

    id: Annotated[str, Field(max_length=128)]
    """The request."""
    episode: int
    """The episode that asked."""
    requested_at: datetime
    """When it was asked."""
    finished_at: datetime
    """When its end was seen."""
    cooldown_until: datetime
    """No further request is made before."""
    outcome: Word
    """Promoted, NotPromoted, NotBlessed, Unchanged, Failed, Suppressed, Superseded or Withdrawn."""
    reason: Word = ""
    """Why, in one word of the training or of the rollout."""
    run: Annotated[str, Field(max_length=63)] | None = None
    """The run that it led to."""
    version: int | None = None
    """The version that it led to."""


class PastRequest(ApiModel):
    """A request that counts towards `maxPer30d`."""

    id: Annotated[str, Field(max_length=128)]
    """The request."""
    at: datetime
    """When it was asked."""


Phase = Literal[
    "Waiting",
    "InsufficientData",
    "Stable",
    "Suspect",
    "Drifting",
    "DataQuality",
    "RetrainRequested",
    "Validating",
    "Cooldown",
]


class DriftMonitorStatus(Status):
    """What has been seen, and what was made of it."""

    phase: Phase = "Waiting"
    """The whole in one word, for people and columns."""
    summary: Sentence = ""
    """The same in one sentence."""
    conditions: Conditions = ()
    """Ready, Available, Reconciling, Stalled, DriftDetected."""
    reference: Reference | None = None
    """The version that requests are compared with."""
    episode: EpisodeStatus | None = None
    """The drift that is open, or the last one."""
    rows: int | None = None
    """Rows of the newest window that was tested."""
    drifting: Sentence = ""
    """The features that drift."""
    budget: Word = ""
    """Alarms raised within the time of the budget, and the budget: `1 of 0.5 in 30d`."""
    windows: Annotated[tuple[WindowStatus, ...], Field(max_length=MAX_WINDOWS)] = ()
    """The newest window of each length."""
    quality: Annotated[tuple[ProblemStatus, ...], Field(max_length=20)] = ()
    """What is wrong with the data."""
    retrain_request: RetrainRequest | None = None
    """What the ModelTraining is asked for now."""
    last_retrain: RetrainRecord | None = None
    """The request that ended last."""
    retrains: Annotated[tuple[PastRequest, ...], Field(max_length=100)] = ()
    """The requests of the last 30 days."""


class DriftMonitor(CustomResource):
    """Watches what a deployed model is asked and answers, and asks for retraining when it drifts."""

    RESOURCE = DRIFT_MONITOR
    SHORT_NAMES = ("drift",)
    COLUMNS = (
        Column("State", ".status.phase"),
        Column("Episode", ".status.episode.number", "integer"),
        Column("Rows", ".status.rows", "integer"),
        Column("Drifting", ".status.drifting"),
        Column("Budget", ".status.budget"),
        Column("Last-Retrain", ".status.lastRetrain.outcome"),
        Column("Deployment", ".spec.deployment", priority=1),
        Column("Summary", ".status.summary", priority=1),
    )
    RULES: ClassVar[tuple[Cel, ...]] = (
        Cel(
            f"size(self.metadata.name) <= {MAX_NAME}",
            f"metadata.name must have at most {MAX_NAME} characters, so that a training can "
            "remember it",
        ),
    )

    spec: DriftMonitorSpec
    status: DriftMonitorStatus | None = None
