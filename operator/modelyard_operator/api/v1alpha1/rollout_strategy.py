"""The strategy of a rollout: the rungs, what each must show, how long anything may take."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from modelyard_core.durations import parse_duration
from modelyard_operator.api.base import ApiModel, Cel
from modelyard_operator.api.v1alpha1.common import Duration, Fraction, PositiveDecimal

MAX_STEPS = 16
MAX_CHECKS = 4
MAX_ROUTERS = 8
DEFAULT_MARGIN = 2.0
DEFAULT_TOLERANCE = 0.01

_INDICES = str(list(range(MAX_STEPS - 1)))


class Traffic(ApiModel):
    """The routers in front of the serving pods."""

    replicas: Annotated[int, Field(ge=1, le=MAX_ROUTERS)] = 2
    """How many router pods there are."""


class Pause(ApiModel):
    """A human gate: the rollout waits for `promote` or `resume`."""


MinRequests = Annotated[int, Field(ge=20, le=10_000_000)]


class Step(ApiModel):
    """One rung of the ladder from no traffic to all of it."""

    RULES: ClassVar[tuple[Cel, ...]] = (
        Cel(
            "[has(self.mirror), has(self.weight), has(self.pause)].filter(x, x).size() == 1",
            "a step is exactly one of mirror, weight or pause; split it into several steps",
        ),
        Cel(
            "!has(self.minRequests) || !has(self.pause)",
            "minRequests belongs to a mirror or weight step; drop it from the pause step",
        ),
    )

    mirror: Annotated[int, Field(ge=1, le=100)] | None = None
    """Percent of live requests that are copied to the candidate; clients never see its answers."""
    weight: Annotated[int, Field(ge=1, le=99)] | None = None
    """Percent of live requests that the candidate answers."""
    pause: Pause | None = None
    """Waits for a person, with the traffic of the step before."""
    min_requests: MinRequests | None = None
    """Overrides `analysis.minRequests` in this step."""


DEFAULT_STEPS = (Step(mirror=100), Step(weight=5), Step(weight=25), Step(weight=50))

Threshold = Literal[
    "1ms",
    "5ms",
    "10ms",
    "25ms",
    "50ms",
    "75ms",
    "100ms",
    "150ms",
    "250ms",
    "500ms",
    "1s",
    "2500ms",
    "5s",
    "10s",
]
"""An edge of the router's latency buckets: between two edges nothing can be counted exactly."""


class CheckType(StrEnum):
    """What counts as a bad event."""

    ERRORS = "Errors"
    LATENCY = "Latency"


class Check(ApiModel):
    """One thing that is compared between the candidate and stable."""

    RULES: ClassVar[tuple[Cel, ...]] = (
        Cel(
            "(self.type == 'Latency') == has(self.threshold)",
            "a Latency check needs a threshold such as 50ms, an Errors check takes none",
        ),
        Cel(
            "!has(self.margin) || (double(self.margin) > 1.0 && double(self.margin) <= 100.0)",
            "margin must be above 1 and at most 100: how many times more bad events than stable "
            "would be too many",
        ),
        Cel(
            "!has(self.tolerance) || "
            "(double(self.tolerance) > 0.0 && double(self.tolerance) <= 0.5)",
            "tolerance must be above 0 and at most 0.5: the share of bad events that is harmless",
        ),
    )

    type: CheckType
    """Errors: answers of 500 and above, and requests that the client gave up on.
    Latency: requests that took longer than `threshold`, and those that the client gave up on."""
    threshold: Threshold | None = None
    """Above it a request is slow."""
    margin: PositiveDecimal | None = None
    """The candidate must be shown to have fewer than this many times stable's bad events;
    2.0 when absent."""
    tolerance: Fraction | None = None
    """Or to have bad events in a smaller share of its requests than this; 0.01 when absent."""

    @property
    def name(self) -> str:
        """The check's name in the status: `errors`, `latency-50ms`."""
        return f"latency-{self.threshold}" if self.threshold else self.type.lower()

    @property
    def threshold_ms(self) -> float | None:
        """The threshold in milliseconds."""
        if self.threshold is None:
            return None
        return parse_duration(self.threshold).total_seconds() * 1000

    @property
    def odds_margin(self) -> float:
        """The margin as a number."""
        return float(self.margin) if self.margin else DEFAULT_MARGIN

    @property
    def harmless_share(self) -> float:
        """The tolerance as a number."""
        return float(self.tolerance) if self.tolerance else DEFAULT_TOLERANCE


DEFAULT_CHECKS = (Check(type=CheckType.ERRORS),)


class Analysis(ApiModel):
    """What the candidate must show in every mirror and weight step."""

    RULES: ClassVar[tuple[Cel, ...]] = (
        Cel(
            "double(self.falseAlarmRate) >= 0.0001 && double(self.falseAlarmRate) <= 0.5",
            "falseAlarmRate must be from 0.0001 to 0.5",
        ),
        Cel(
            "!has(self.checks) || self.checks.exists(c, c.type == 'Errors')",
            "checks must contain one of type Errors: without it a candidate that answers only "
            "errors would pass",
        ),
        Cel(
            "!has(self.checks) || self.checks.all(c, self.checks.exists_one(d, d.type == c.type && "
            "(has(d.threshold) ? d.threshold : '') == (has(c.threshold) ? c.threshold : '')))",
            "two checks are the same; give each Latency check its own threshold, Errors only once",
        ),
    )

    false_alarm_rate: Fraction = "0.05"
    """The chance that an equally good candidate is ever turned back, and that a bad one passes a
    step, over all checks together."""
    min_requests: MinRequests = 300
    """Requests that the candidate must have answered in each step."""
    checks: Annotated[tuple[Check, ...], Field(min_length=1, max_length=MAX_CHECKS)] | None = None
    """What is compared; one Errors check when absent."""
    on_insufficient_data: Literal["Pause", "Abort"] = "Pause"
    """What happens when a step is undecided for `maxStepDuration`.  Time alone never promotes."""
    max_step_duration: Duration = "6h"
    """How long a step may stay undecided."""

    @property
    def effective_checks(self) -> tuple[Check, ...]:
        """The checks, with their default."""
        return self.checks or DEFAULT_CHECKS

    @property
    def check_alpha(self) -> float:
        """The false-alarm rate of each check, so that all together keep the promised one."""
        return float(self.false_alarm_rate) / len(self.effective_checks)

    @property
    def patience(self) -> timedelta:
        """`maxStepDuration` as a duration."""
        return parse_duration(self.max_step_duration)


class Rollout(ApiModel):
    """How a new revision earns its traffic."""

    RULES: ClassVar[tuple[Cel, ...]] = (
        Cel(
            "!has(self.steps) || self.steps.exists(s, !has(s.pause))",
            "steps need at least one mirror or weight step: a pause shows nothing",
        ),
        Cel(
            "!has(self.steps) || "
            "[self.steps.filter(s, has(s.weight)).map(s, s.weight)].all(w, "
            f"{_INDICES}.all(i, i + 1 >= size(w) || w[i] < w[i + 1]))",
            "the weights of steps must increase, such as 5, 25, 50",
        ),
        Cel(
            "!has(self.steps) || "
            "[self.steps.filter(s, !has(s.pause))].all(t, "
            f"{_INDICES}.all(i, i + 1 >= size(t) || !has(t[i].weight) || has(t[i + 1].weight)))",
            "mirror steps come before weight steps; move them up",
        ),
    )

    traffic: Traffic = Field(default_factory=Traffic)
    """The routers."""
    steps: Annotated[tuple[Step, ...], Field(min_length=1, max_length=MAX_STEPS)] | None = None
    """The rungs; mirror 100, weight 5, 25 and 50 when absent."""
    analysis: Analysis = Field(default_factory=Analysis)
    """What each mirror and weight step must show."""
    progress_deadline: Duration = "30m"
    """How long a candidate may take until its pods are ready or its traffic is applied."""
    drain: Duration = "30s"
    """How long pods live on after every router has stopped sending them requests."""
    revision_history: Annotated[int, Field(ge=1, le=10)] = 10
    """How many earlier revisions are remembered, for going back without steps."""

    @property
    def ladder(self) -> tuple[Step, ...]:
        """The steps, with their default."""
        return self.steps or DEFAULT_STEPS
