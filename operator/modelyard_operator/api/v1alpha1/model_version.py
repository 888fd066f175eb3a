"""ModelVersion: one model that came out of a training, under a number that is never used again."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from modelyard_core.runs import Verdict
from modelyard_operator.api.base import (
    IMMUTABLE,
    ApiModel,
    Cel,
    Column,
    CustomResource,
    ListMap,
    Rules,
    Status,
)
from modelyard_operator.api.conditions import Conditions
from modelyard_operator.api.resources import MODEL_VERSION
from modelyard_operator.api.v1alpha1 import common

MetricValue = Annotated[str, Field(max_length=36)]


class VersionImages(ApiModel):
    """The images that made the version."""

    training: Annotated[str, Field(max_length=512)]
    """The image of the training container."""


class ModelVersionSpec(ApiModel):
    """What the version is and where it comes from."""

    training: Annotated[str, Field(min_length=1, max_length=63)]
    """The ModelTraining that made it."""
    version: Annotated[int, Field(ge=1)]
    """Its number: 1, 2, 3 …"""
    digest: common.Digest
    """Its identity: the digest of the bundle's manifest."""
    uri: Annotated[str, Field(min_length=1, max_length=512)]
    """Where its bundle is: `pvc://<claim>/<path>`."""
    run_key: common.Digest
    """The key of the run: a digest of all that changes the model."""
    run: Annotated[str, Field(min_length=1, max_length=63)]
    """The run that made it."""
    parent: Annotated[int, Field(ge=1)] | None = None
    """The version that was champion when the run started."""
    trigger: Literal["Spec", "Manual", "Drift"]
    """Who asked for the run."""
    data_digest: common.Digest | None = None
    """The digest of the data that it learnt from."""
    metrics: Annotated[dict[str, MetricValue], Field(max_length=32)] = Field(default_factory=dict)
    """Metrics over the holdout, computed on the exported model."""
    headline: Annotated[str, Field(max_length=64)] | None = None
    """The metric that is shown first."""
    verdict: Verdict
    """What the gates said."""
    verdict_reason: Annotated[str, Field(max_length=512)] = ""
    """The gate that decided, in one sentence with its numbers; empty when all passed."""
    images: VersionImages
    """The images that made it."""


class ServedBy(ApiModel):
    """One deployment that sends requests to the version."""

    deployment: Annotated[str, Field(max_length=63)]
    """The ModelDeployment."""
    role: Literal["Stable", "Canary"]
    """Stable answers everybody; Canary is being rolled out."""


class ModelVersionStatus(Status):
    """What the version is used for."""

    phase: Literal["Candidate", "Serving", "Retired", "Rejected"] = "Candidate"
    """Candidate has not served yet, Serving is stable somewhere, Retired was, Rejected failed a
    gate."""
    summary: Annotated[str, Field(max_length=1024)] = ""
    """One sentence."""
    conditions: Conditions = ()
    """`Ready`: the version may be rolled out by following its training."""
    served_by: Annotated[
        tuple[ServedBy, ...], Field(max_length=64), ListMap("deployment", "role")
    ] = ()
    """The deployments that send requests to it."""
    metric: Annotated[str, Field(max_length=80)] = ""
    """The headline metric and its value, such as `roc_auc 0.83`."""
    first_served_at: datetime | None = None
    """When it first became stable somewhere."""
    last_served_at: datetime | None = None
    """When it stopped being stable everywhere; absent while it serves."""


class ModelVersion(CustomResource):
    """One model that came out of a training; made by the operator, outlives the training."""

    RESOURCE = MODEL_VERSION
    SHORT_NAMES = ("mver",)
    COLUMNS = (
        Column("Training", ".spec.training"),
        Column("Version", ".spec.version", "integer"),
        Column("Phase", ".status.phase"),
        Column("Verdict", ".spec.verdict"),
        Column("Metric", ".status.metric"),
        Column("Trigger", ".spec.trigger"),
        Column("Served-By", ".status.servedBy[*].deployment", priority=1),
        Column("Digest", ".spec.digest", priority=1),
        Column("Summary", ".status.summary", priority=1),
    )
    spec: Annotated[
        ModelVersionSpec,
        Rules(Cel(IMMUTABLE, "a version cannot change; train again to get a new one")),
    ]
    status: ModelVersionStatus | None = None
