"""ModelTraining: data in, verdict out."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from modelyard_operator.api.base import (
    NAME_RULES,
    ApiModel,
    Cel,
    Column,
    CustomResource,
    ListMap,
)
from modelyard_operator.api.resources import MODEL_TRAINING
from modelyard_operator.api.v1alpha1 import common, training_rules
from modelyard_operator.api.v1alpha1.training_status import ModelTrainingStatus

ColumnName = Annotated[
    str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.\- ]*$", min_length=1, max_length=128)
]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]

MAX_FEATURES = 256


_FORMATS = "csv, csv.gz or parquet"


class ClaimData(ApiModel):
    """A file on a PersistentVolumeClaim of the same namespace."""

    RULES: ClassVar[tuple[Cel, ...]] = (
        Cel(
            "!self.path.startsWith('/') && !self.path.contains('..')",
            "path is relative to the claim's root and stays inside it; drop the leading / and ..",
        ),
        Cel(
            r"self.path.matches('[.](csv|csv[.]gz|parquet)$')",
            f"path must end in {_FORMATS}, which names the format",
        ),
    )

    claim_name: common.Name
    """The claim; it is mounted read-only."""
    path: Annotated[str, Field(min_length=1, max_length=512)]
    """The file, relative to the claim's root; its ending names the format."""


class ConfigMapData(ApiModel):
    """A file in a ConfigMap of the same namespace, for small data and examples."""

    RULES: ClassVar[tuple[Cel, ...]] = (
        Cel(
            r"self.path.matches('[.](csv|csv[.]gz|parquet)$')",
            f"path must end in {_FORMATS}, which names the format",
        ),
    )

    name: common.Name
    """The ConfigMap."""
    path: Annotated[str, Field(pattern=r"^[-._a-zA-Z0-9]+$", min_length=1, max_length=253)]
    """The key; binaryData for compressed formats. Its ending names the format."""


class DataSource(ApiModel):
    """Where rows come from: exactly one place."""

    RULES: ClassVar[tuple[Cel, ...]] = (
        Cel(
            "has(self.pvc) != has(self.configMap)",
            "give exactly one of pvc, configMap",
        ),
    )

    pvc: ClaimData | None = None
    """A file on a PersistentVolumeClaim."""
    config_map: ConfigMapData | None = None
    """A file in a ConfigMap, within its 1 MiB."""


class ColumnContract(ApiModel):
    """What one column must satisfy."""

    RULES: ClassVar[tuple[Cel, ...]] = (
        Cel(
            "!has(self.min) || !has(self.max) || double(self.min) <= double(self.max)",
            "min must not be above max",
        ),
    )

    name: ColumnName
    """The column."""
    min: common.Decimal | None = None
    """Smallest value that is allowed."""
    max: common.Decimal | None = None
    """Largest value that is allowed."""
    max_missing: common.Fraction | None = None
    """Largest share of missing values, from 0 to 1."""


class DataContract(ApiModel):
    """What the data must satisfy before anything is trained on it."""

    min_rows: Annotated[int, Field(ge=1, le=1_000_000_000)] = 1
    """Fewest rows."""
    columns: Annotated[
        tuple[ColumnContract, ...], Field(max_length=MAX_FEATURES), ListMap("name")
    ] = Field(default_factory=tuple)
    """Checks of single columns."""


class Split(ApiModel):
    """How rows are kept apart for judging."""

    RULES: ClassVar[tuple[Cel, ...]] = (
        Cel(
            "self.strategy != 'Time' || has(self.timeColumn)",
            "strategy Time needs timeColumn, the column that orders the rows",
        ),
        Cel(
            "self.strategy != 'Time' || !has(self.keyColumn)",
            "keyColumn belongs to strategy Hash; drop it or use strategy: Hash",
        ),
        Cel(
            "self.strategy != 'Hash' || !has(self.timeColumn)",
            "timeColumn belongs to strategy Time; drop it or use strategy: Time",
        ),
        Cel(
            "double(self.testFraction) >= 0.01 && double(self.testFraction) <= 0.9",
            "testFraction must be from 0.01 to 0.9, such as 0.2",
        ),
    )

    strategy: Literal["Hash", "Time"] = "Hash"
    """Hash: a row stays on its side in every retraining. Time: the newest rows judge."""
    test_fraction: common.Fraction = "0.2"
    """Share of rows that judge."""
    seed: Seed = 42
    """Changes which rows Hash keeps for judging."""
    key_column: ColumnName | None = None
    """Hash: rows with the same key stay together; without it the whole row is the key."""
    time_column: ColumnName | None = None
    """Time: the column that orders the rows."""


class Data(ApiModel):
    """What the model learns from."""

    train: DataSource
    """All labelled rows; the split keeps some of them for judging."""
    expected_digest: common.Digest | None = None
    """Pins the bytes: other data is refused."""
    contract: DataContract = Field(default_factory=DataContract)
    """What the data must satisfy before anything is trained on it."""
    split: Split = Field(default_factory=Split)
    """How rows are kept apart for judging."""


class Feature(ApiModel):
    """One column that the model reads, and how it is prepared."""

    RULES: ClassVar[tuple[Cel, ...]] = (
        Cel(
            "self.type == 'Float' || (!has(self.missing) && !has(self.scale))",
            "missing and scale belong to Float features; a missing category is a category",
        ),
        Cel(
            "self.type == 'Category' || (!has(self.encode) && !has(self.maxCategories))",
            "encode and maxCategories belong to Category features; drop them or use type: Category",
        ),
        Cel(
            "!(self.name in ['label', 'probabilities', 'prediction'])",
            "label, probabilities and prediction are names of outputs; rename the column",
        ),
    )

    name: ColumnName
    """The column, and the name of the model's input."""
    type: Literal["Float", "Category"]
    """Float: a number (32 bits). Category: text."""
    missing: Literal["ImputeMedian", "Native"] | None = None
    """Float: ImputeMedian fills with the median. Native leaves missing values to the estimator,
    and is what HistGradientBoosting gets when nothing is said."""
    scale: Literal["None", "Standard"] | None = None
    """Float: Standard scales to mean 0 and deviation 1, and is what Logistic gets when nothing is
    said."""
    encode: Literal["OneHot", "Ordinal"] | None = None
    """Category: OneHot when nothing is said. Unknown categories are ignored."""
    max_categories: Annotated[int, Field(ge=2, le=10_000)] | None = None
    """Category: more distinct values than this are refused; 100 when nothing is said."""


class Pipeline(ApiModel):
    """What is fitted: an estimator that converts to ONNX without a difference."""

    RULES: ClassVar[tuple[Cel, ...]] = tuple(training_rules.parameter_rules())

    estimator: Literal["Logistic", "RandomForest", "HistGradientBoosting"]
    """The algorithm."""
    params: Annotated[
        dict[str, Annotated[str, Field(max_length=32)]] | None, Field(max_length=16)
    ] = None
    """Its parameters, values as strings."""
    seed: Seed = 42
    """Makes a run repeatable."""


class VersusChampion(ApiModel):
    """Not worse than the version that serves, both scored on this run's holdout."""

    RULES: ClassVar[tuple[Cel, ...]] = (
        Cel(
            "!has(self.confidence) || (double(self.confidence) >= 0.5 && "
            "double(self.confidence) <= 0.999)",
            "confidence must be from 0.5 to 0.999, such as 0.95",
        ),
    )

    max_drop: common.PositiveDecimal
    """How much worse the model may be, in the metric's own unit."""
    confidence: common.Fraction | None = None
    """How sure the paired bootstrap must be; 0.95 when nothing is said."""


class MetricGate(ApiModel):
    """One metric over the holdout, and what it must satisfy."""

    RULES: ClassVar[tuple[Cel, ...]] = (
        Cel(
            "has(self.min) || has(self.max) || has(self.versusChampion)",
            "a gate needs min, max or versusChampion",
        ),
        Cel(
            "!has(self.min) || !has(self.max) || double(self.min) <= double(self.max)",
            "min must not be above max",
        ),
    )

    name: Annotated[str, Field(min_length=1, max_length=64)]
    """The metric."""
    min: common.Decimal | None = None
    """Smallest value that passes."""
    max: common.Decimal | None = None
    """Largest value that passes."""
    versus_champion: VersusChampion | None = None
    """Compare with the version that serves; skipped while there is none."""


class ParityGate(ApiModel):
    """How far the exported model may be from the fitted one."""

    max_abs: common.PositiveDecimal = "0.00001"
    """Largest absolute difference."""
    max_rel: common.PositiveDecimal = "0.0001"
    """Largest relative difference."""


class Gates(ApiModel):
    """What a model must pass to be blessed."""

    metrics: Annotated[tuple[MetricGate, ...], Field(max_length=16)] = Field(default_factory=tuple)
    """Metrics over the holdout. Without an absolute one (min or max) the verdict is Unverified."""
    parity: ParityGate = Field(default_factory=ParityGate)
    """How far the exported model may be from the fitted one."""


class Triggers(ApiModel):
    """When a run starts, and what holds it back."""

    on_spec_change: bool = True
    """Train when a field that changes the model is edited, and when the object is created."""
    cooldown: common.Duration = "1h"
    """How long manual and drift requests wait after a run; doubled for drift with each run that
    drift caused and that did not lead to a blessed model. Spec changes never wait."""
    max_runs_per_day: Annotated[int, Field(ge=1, le=100)] = 24
    """Most runs that start within 24 hours, whatever asked for them."""


class TrainingResources(common.Resources):
    """What the training container is promised and what it may use at most."""

    RULES: ClassVar[tuple[Cel, ...]] = (
        Cel(
            "!has(self.requests) || !has(self.limits) || !has(self.requests.memory) || "
            "!has(self.limits.memory) || self.requests.memory == self.limits.memory",
            "requests.memory must equal limits.memory, so that a run is not ended by its "
            "neighbours; drop one of them",
        ),
    )


class Runtime(ApiModel):
    """Where and how the Job runs."""

    image: common.Image | None = None
    """The training image; the operator's own when absent."""
    resources: TrainingResources | None = None
    """CPU and memory of the training container; 1 CPU and 1Gi when absent."""
    node_selector: common.NodeSelector | None = None
    """Labels that the node must carry."""
    tolerations: common.Tolerations = Field(default_factory=tuple)
    """Taints that the pod accepts."""
    active_deadline: common.Duration = "2h"
    """A run that takes longer is ended."""
    start_timeout: common.Duration = "15m"
    """A run whose container has not started by then is given up."""


class ModelTrainingSpec(ApiModel):
    """What to learn from which data, and what a model must prove."""

    RULES: ClassVar[tuple[Cel, ...]] = (
        *training_rules.task_rules(),
        Cel(
            "!self.features.exists(feature, feature.name == self.target)",
            "the target must not be one of the features; remove it from features",
        ),
        Cel(
            "self.pipeline.estimator == 'HistGradientBoosting' || !self.features.exists(feature, "
            "has(feature.missing) && feature.missing == 'Native')",
            "missing: Native works with HistGradientBoosting only; use missing: ImputeMedian",
        ),
    )

    suspend: bool = False
    """Start no new runs; a run in flight ends by itself."""
    task: Literal["Classification", "Regression"]
    """What kind of value the target is."""
    target: ColumnName
    """The column to predict."""
    data: Data
    """What the model learns from."""
    features: Annotated[
        tuple[Feature, ...], Field(min_length=1, max_length=MAX_FEATURES), ListMap("name")
    ]
    """The columns that the model reads, in the order of the serving signature."""
    pipeline: Pipeline
    """What is fitted."""
    gates: Gates = Field(default_factory=Gates)
    """What a model must pass to be blessed. Changing them does not start a run."""
    triggers: Triggers = Field(default_factory=Triggers)
    """When a run starts, and what holds it back."""
    store: common.Store | None = None
    """Where bundles are kept; the operator's default claim when absent."""
    runtime: Runtime = Field(default_factory=Runtime)
    """Where and how the Job runs."""


class ModelTraining(CustomResource):
    """Trains a model from data, proves it against gates, and gives it a version."""

    RESOURCE = MODEL_TRAINING
    SHORT_NAMES = ("mtrain",)
    COLUMNS = (
        Column("Phase", ".status.phase"),
        Column("Champion", ".status.champion.version", "integer"),
        Column("Latest", ".status.latest.version", "integer"),
        Column("Verdict", ".status.latest.verdict"),
        Column("Metric", ".status.latest.metric"),
        Column("Last-Run", ".status.lastRun.finishedAt", "date"),
        Column("Run", ".status.run.name", priority=1),
        Column("Summary", ".status.summary", priority=1),
    )
    RULES: ClassVar[tuple[Cel, ...]] = NAME_RULES

    spec: ModelTrainingSpec
    status: ModelTrainingStatus | None = None
