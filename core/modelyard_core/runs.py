"""One training run: what the operator asks of the Job, and what the Job answers.

The request is the file `run.json` in the run's ConfigMap.  The answer is the container's
termination message, so it must fit into 4096 bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

REQUEST_FILE = "run.json"
REPORT_LIMIT = 4096
"""Bytes that the kubelet keeps of a termination message."""


class ExitCode(IntEnum):
    """What the Job's pod failure policy acts on."""

    DONE = 0
    """The run finished, whatever the verdict."""
    BUG = 1
    BAD_SPEC = 10
    BAD_DATA = 11
    CANNOT_CONVERT = 12
    GUARD = 13
    """A limit on size, memory or time was reached."""
    TRANSIENT = 20
    """The data or the store did not answer; another attempt may succeed."""


class Verdict(StrEnum):
    """What the gates say of a model."""

    BLESSED = "Blessed"
    REJECTED = "Rejected"
    INCONCLUSIVE = "Inconclusive"
    """The evidence is too small to tell."""
    UNVERIFIED = "Unverified"
    """No absolute gate was configured."""


class GateOutcome(StrEnum):
    """What one gate says."""

    PASSED = "Passed"
    FAILED = "Failed"
    INCONCLUSIVE = "Inconclusive"
    SKIPPED = "Skipped"


@dataclass(frozen=True, slots=True)
class DataSource:
    """Where the rows are, as the pod sees it, and where they came from."""

    path: str
    """Relative to the data mount; the suffix (.csv, .csv.gz, .parquet) names the format."""
    origin: str
    """For people: `pvc/weather` or `configMap/weather`."""
    expected_digest: str | None = None


@dataclass(frozen=True, slots=True)
class ColumnContract:
    """What one column must satisfy before it is trained on."""

    name: str
    min: float | None = None
    max: float | None = None
    max_missing: float | None = None
    """Largest share of missing values, 0..1."""


@dataclass(frozen=True, slots=True)
class DataContract:
    """What the data must satisfy before it is trained on."""

    min_rows: int = 1
    columns: tuple[ColumnContract, ...] = ()


@dataclass(frozen=True, slots=True)
class Split:
    """How rows are kept apart for judging."""

    strategy: str
    """Hash | Time."""
    test_fraction: float
    seed: int = 42
    key_column: str | None = None
    """Hash: rows with one key stay on one side in every retrain; none = the whole row is the key."""
    time_column: str | None = None


@dataclass(frozen=True, slots=True)
class Feature:
    """One column that the model reads, and how it is prepared."""

    name: str
    type: str
    """Float | Category."""
    missing: str | None = None
    """Float: ImputeMedian | Native.  Native leaves NaN to the estimator."""
    scale: str | None = None
    """Float: None | Standard."""
    encode: str | None = None
    """Category: OneHot | Ordinal."""
    max_categories: int = 100


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What is fitted."""

    estimator: str
    params: Mapping[str, str] = field(default_factory=dict)
    """Parameter → value as text; types come from `estimators.ESTIMATORS`."""
    seed: int = 42


@dataclass(frozen=True, slots=True)
class ChampionGate:
    """Not worse than the champion, with this confidence."""

    max_drop: float
    confidence: float = 0.95


@dataclass(frozen=True, slots=True)
class MetricGate:
    """One metric and what it must satisfy."""

    name: str
    min: float | None = None
    max: float | None = None
    versus_champion: ChampionGate | None = None


@dataclass(frozen=True, slots=True)
class ParityGate:
    """How far the exported model may be from the fitted one."""

    max_abs: float = 1e-5
    max_rel: float = 1e-4


@dataclass(frozen=True, slots=True)
class Gates:
    """What a model must pass to be blessed."""

    metrics: tuple[MetricGate, ...] = ()
    parity: ParityGate = field(default_factory=ParityGate)


@dataclass(frozen=True, slots=True)
class Champion:
    """The version that a challenger is compared with."""

    version: int
    digest: str
    uri: str


@dataclass(frozen=True, slots=True)
class RunRequest:
    """All that a run needs to know."""

    training: str
    namespace: str
    run: str
    """Name of the run, its Job and its ConfigMap."""
    run_key: str
    task: str
    """Classification | Regression."""
    target: str
    data: DataSource
    split: Split
    features: tuple[Feature, ...]
    pipeline: Pipeline
    store_claim: str
    """Name of the PersistentVolumeClaim behind the store mount; part of the bundle's uri."""
    contract: DataContract = field(default_factory=DataContract)
    gates: Gates = field(default_factory=Gates)
    champion: Champion | None = None
    image: str = ""
    trigger: str = ""


@dataclass(frozen=True, slots=True)
class GateResult:
    """What one gate saw."""

    name: str
    kind: str
    """Absolute | VersusChampion | Parity."""
    outcome: GateOutcome
    observed: float | None = None
    threshold: float | None = None
    baseline: float | None = None
    rows: int = 0
    sentence: str = ""


@dataclass(frozen=True, slots=True)
class RunError:
    """Why a run did not finish."""

    code: str
    """Reason code, e.g. `ColumnMissing`."""
    sentence: str


@dataclass(frozen=True, slots=True)
class RunReport:
    """What the Job says when it ends.  Lists are cut by the writer so that the limit holds."""

    run: str
    run_key: str
    verdict: Verdict | None = None
    digest: str | None = None
    """Digest of the bundle's manifest: the identity of the version."""
    uri: str | None = None
    data_digest: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    gates: tuple[GateResult, ...] = ()
    rows: int = 0
    already_trained: bool = False
    """A finished bundle of the same content was found; nothing was trained."""
    error: RunError | None = None
