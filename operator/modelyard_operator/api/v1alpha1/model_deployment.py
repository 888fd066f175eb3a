"""ModelDeployment: which version serves, and how a newer one earns its traffic."""

from typing import Annotated, ClassVar

from pydantic import Field

from modelyard_operator.api.base import (
    NAME_RULES,
    ApiModel,
    Cel,
    Column,
    CustomResource,
    ListMap,
    Status,
)
from modelyard_operator.api.conditions import Conditions
from modelyard_operator.api.resources import MODEL_DEPLOYMENT
from modelyard_operator.api.v1alpha1.common import Name
from modelyard_operator.api.v1alpha1.revision import (
    RevisionName,
    RevisionRecord,
    Runtime,
    StableStatus,
)
from modelyard_operator.api.v1alpha1.rollout_status import (
    AttemptRecord,
    DrainStatus,
    Phase,
    RolloutStatus,
    Sentence,
    Word,
)
from modelyard_operator.api.v1alpha1.rollout_strategy import Rollout

MAX_ATTEMPTS = 10


class Model(ApiModel):
    """Which version is wanted."""

    training: Name
    """The ModelTraining, in the same namespace, whose versions are served."""
    version: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Pins one version; without it the newest Blessed version is followed."""


class ModelDeploymentSpec(ApiModel):
    """What is wanted."""

    model: Model
    """Which version."""
    replicas: Annotated[int, Field(ge=1, le=100)] = 1
    """Serving pods of each revision; a change applies at once, without a rollout."""
    runtime: Runtime = Field(default_factory=Runtime)
    """The pods that serve."""
    suspend: bool = False
    """Starts no rollout and takes no further step.  A candidate that does harm is still aborted."""
    rollout: Rollout = Field(default_factory=Rollout)
    """How a new revision earns its traffic."""


class ModelDeploymentStatus(Status):
    """What the operator has seen and decided."""

    phase: Phase = Phase.PENDING
    """The whole deployment in one word."""
    summary: Sentence = ""
    """The same in one sentence."""
    conditions: Conditions = ()
    """Ready, Available, Reconciling, Stalled."""
    ready: Word = ""
    """Ready and wanted pods of the stable revision, such as `2/2`."""
    stable: StableStatus | None = None
    """The revision that serves."""
    rollout: RolloutStatus | None = None
    """The attempt that is under way."""
    last_attempt: AttemptRecord | None = None
    """The attempt that ended last."""
    attempts: Annotated[tuple[AttemptRecord, ...], Field(max_length=MAX_ATTEMPTS)] = ()
    """Earlier attempts, newest first, without their evidence."""
    attempt: int = 0
    """How many attempts there have been."""
    draining: Annotated[tuple[DrainStatus, ...], Field(max_length=32), ListMap("revision")] = ()
    """Revisions whose pods live on for a moment."""
    revisions: Annotated[tuple[RevisionRecord, ...], Field(max_length=40), ListMap("name")] = ()
    """What is remembered of revisions, newest first."""
    aborted_revisions: Annotated[tuple[RevisionName, ...], Field(max_length=32)] = ()
    """Revisions that were turned back; only `retry` gives them another attempt."""
    last_handled_action: Annotated[str, Field(max_length=256)] = ""
    """The value of the action annotation that was handled last."""


class ModelDeployment(CustomResource):
    """Serves a model behind a router and rolls new versions out by evidence."""

    RESOURCE = MODEL_DEPLOYMENT
    SHORT_NAMES = ("mdeploy",)
    COLUMNS = (
        Column("Stable", ".status.stable.modelVersion"),
        Column("Candidate", ".status.rollout.revision"),
        Column("Phase", ".status.phase"),
        Column("Step", ".status.rollout.step.index", "integer"),
        Column("Weight", ".status.rollout.traffic.desired.canary", "integer"),
        Column("Ready", ".status.ready"),
        Column("Summary", ".status.summary"),
    )
    RULES: ClassVar[tuple[Cel, ...]] = NAME_RULES

    spec: ModelDeploymentSpec
    status: ModelDeploymentStatus | None = None
