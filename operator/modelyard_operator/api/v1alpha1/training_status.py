"""The status of a ModelTraining: wishes, the run in flight, how the last one ended."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from modelyard_core.runs import Verdict
from modelyard_operator.api.base import ApiModel, ListMap, Status
from modelyard_operator.api.conditions import Conditions

MAX_REQUESTS = 20


class VersionRef(ApiModel):
    """A version by its number and identity."""

    version: int
    """The number N of the ModelVersion `<training>-v<N>`."""
    digest: Annotated[str, Field(max_length=71)]
    """Its bundle's digest."""


class LatestVersion(ApiModel):
    """The newest version."""

    version: int
    """The number N of the ModelVersion `<training>-v<N>`."""
    verdict: Verdict
    """What the gates said."""
    metric: Annotated[str, Field(max_length=80)] = ""
    """The headline metric and its value, such as `roc_auc 0.83`."""


class RunStatus(ApiModel):
    """The run in flight: written before anything is made for it."""

    name: Annotated[str, Field(max_length=63)]
    """Name of the run, its Job and its ConfigMap."""
    key: Annotated[str, Field(max_length=71)]
    """The run key: a digest of all that changes the model."""
    token: Annotated[str, Field(max_length=128)]
    """The request that it answers."""
    trigger: Literal["Spec", "Manual", "Drift"]
    """Where that request came from."""
    started_at: datetime
    """When the request was granted; with `token` it tells this run from an earlier one of the same
    name."""
    parent: int | None = None
    """The champion at that time."""
    pod: Annotated[str, Field(max_length=64)] | None = None
    """The uid of the newest pod."""
    pods: int = 0
    """How many pods the run has had; more than failures explain are disruptions."""
    restarts: int = 0
    """How often the Job had to be made again because its result was lost."""


class Request(ApiModel):
    """One wish to train, and what became of it."""

    token: Annotated[str, Field(max_length=128)]
    """Identifies the evidence: a hash of the spec, the text of the annotation, a drift episode."""
    source: Literal["Spec", "Manual", "Drift"]
    """Who asked."""
    at: datetime
    """When it was first seen."""
    outcome: Literal["Pending", "Running", "Succeeded", "Failed", "Suppressed", "Superseded"]
    """What became of it."""
    reason: Annotated[str, Field(max_length=64)]
    """Why, in one CamelCase word."""
    run: Annotated[str, Field(max_length=63)] | None = None
    """The run that it led to."""
    version: int | None = None
    """The version that it led to, or that it repeats."""
    verdict: Verdict | None = None
    """What the gates said."""


class LastRun(ApiModel):
    """The run that ended last."""

    name: Annotated[str, Field(max_length=63)]
    """Name of the run."""
    trigger: Literal["Spec", "Manual", "Drift"]
    """Where its request came from."""
    started_at: datetime
    """When it started."""
    finished_at: datetime
    """When its result was known."""
    reason: Annotated[str, Field(max_length=64)]
    """The verdict, or why it failed, in one CamelCase word."""
    sentence: Annotated[str, Field(max_length=1024)] = ""
    """The same for people, with numbers."""
    remedy: Annotated[str, Field(max_length=512)] = ""
    """What a person can do, if anything."""
    succeeded: bool
    """Whether it reached a verdict; a rejected model is a successful run."""
    version: int | None = None
    """The version that it led to, or repeats."""
    verdict: Verdict | None = None
    """What the gates said."""


class HandledDrift(ApiModel):
    """The newest request of one DriftMonitor that was taken up."""

    monitor: Annotated[str, Field(max_length=63)]
    """The DriftMonitor."""
    id: Annotated[str, Field(max_length=128)]
    """The id of its request."""


class ModelTrainingStatus(Status):
    """What became of the wishes to train, and which version is best."""

    phase: Literal["Pending", "Running", "Succeeded", "Failed", "Suspended"] = "Pending"
    """For people and columns; the conditions are for programs."""
    summary: Annotated[str, Field(max_length=1024)] = ""
    """One sentence."""
    conditions: Conditions = ()
    """`Succeeded` (Unknown while a run is awaited) and `Stalled`."""
    champion: VersionRef | None = None
    """The version that serves, else the newest blessed one."""
    latest: LatestVersion | None = None
    """The newest version."""
    run: RunStatus | None = None
    """The run in flight."""
    last_run: LastRun | None = None
    """The run that ended last."""
    requests: Annotated[tuple[Request, ...], Field(max_length=MAX_REQUESTS)] = ()
    """The last 20 wishes to train, oldest first."""
    observed_spec_hash: Annotated[str, Field(max_length=71)] | None = None
    """The hash of the model-changing part of the spec that was last taken up."""
    observed_retrain: Annotated[str, Field(max_length=128)] | None = None
    """The retrain annotation that was last taken up."""
    observed_drift: Annotated[
        tuple[HandledDrift, ...], Field(max_length=MAX_REQUESTS), ListMap("monitor")
    ] = ()
    """The newest request of each DriftMonitor that was taken up."""
    unhelpful_drift_runs: int = 0
    """Runs in a row that drift caused and that ended without a model fit to replace the champion."""
    last_version: int = 0
    """The highest number that was ever given to a version."""
    started: Annotated[tuple[datetime, ...], Field(max_length=100)] = ()
    """When the runs of the last 24 hours started."""
