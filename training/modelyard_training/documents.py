"""The papers of a bundle beside the model: what was measured, on what, with what, in words."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata

from modelyard_core.runs import Feature, GateResult, Pipeline, RunRequest, Split, Verdict

METRICS = "metrics.json"
PARITY = "parity.json"
DATA = "data.json"
ENVIRONMENT = "environment.json"
CARD = "card.md"
LOG = "log.txt"

PACKAGES = ("scikit-learn", "skl2onnx", "onnx", "onnxruntime", "numpy", "pandas", "pyarrow")


@dataclass(frozen=True, slots=True)
class Metrics:
    """Content of metrics.json: measured on the exported model, on held-out rows."""

    training_rows: int
    holdout_rows: int
    metrics: Mapping[str, float]
    undefined: tuple[str, ...]
    """Metrics that are no number on these rows."""
    gates: tuple[GateResult, ...]
    champion: Mapping[str, float]
    """The champion's metrics on the same rows; empty without one."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Data:
    """Content of data.json: which rows."""

    path: str
    origin: str
    digest: str
    size: int
    rows_digest: str
    """Of the decoded rows: the same for another order or file format."""
    rows: int
    training_rows: int
    holdout_rows: int
    holdout_duplicates: float
    """Share of held-out rows whose features also occur in a training row."""
    split: Split
    target: str
    classes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Environment:
    """Content of environment.json: what made it."""

    image: str
    python: str
    machine: str
    packages: Mapping[str, str]
    formats: Mapping[str, int]
    threads: int
    peak_memory_bytes: int
    fit_seconds: float
    features: tuple[Feature, ...]
    pipeline: Pipeline


def installed_packages() -> dict[str, str]:
    """Return the versions of what decides the model."""
    return {name: metadata.version(name) for name in PACKAGES}


def this_machine() -> tuple[str, str]:
    """Return the versions of Python and the kind of machine."""
    return platform.python_version(), platform.machine()


def card(
    request: RunRequest, verdict: Verdict, data: Data, measured: Metrics, made: Environment
) -> str:
    """Return the model card as Markdown."""
    lines = [
        f"# {request.training}: {request.task} of `{request.target}`",
        "",
        f"**{verdict}** by run `{request.run}`"
        + (f", triggered by {request.trigger}" if request.trigger else "")
        + ".",
        "",
        "## Data",
        "",
        f"`{data.path}` in {data.origin}, {data.rows} rows, {data.digest}.  "
        f"{data.training_rows} rows were trained on; {data.holdout_rows} were held out "
        f"({data.split.strategy} split) and judge the model.",
        "",
        "## Model",
        "",
        f"{request.pipeline.estimator}, seed {request.pipeline.seed}"
        + "".join(f", {name} = {value}" for name, value in sorted(request.pipeline.params.items()))
        + f"; fitted in {made.fit_seconds:.1f} s, exported to ONNX and proven to answer the same.",
        "",
        "| feature | type | missing | prepared by |",
        "|---|---|---|---|",
        *(_feature_row(feature) for feature in request.features),
        "",
        "## Metrics",
        "",
        "Of the exported model under onnxruntime, on the held-out rows.",
        "",
        "| metric | value | champion |",
        "|---|---|---|",
        *(
            f"| {name} | {value:.4g} | {_champions(measured, name)} |"
            for name, value in measured.metrics.items()
        ),
        "",
        "## Gates",
        "",
        *(
            f"- **{gate.outcome}** {gate.kind} {gate.name}: {gate.sentence}"
            for gate in measured.gates
        ),
        *(f"- Note: {note}" for note in measured.notes),
    ]
    return "\n".join(lines) + "\n"


def _feature_row(feature: Feature) -> str:
    if feature.type == "Category":
        how = f"{feature.encode or 'OneHot'}, at most {feature.max_categories} categories"
        return f"| {feature.name} | Category | a category of its own | {how} |"
    missing = "left to the trees" if feature.missing == "Native" else "median"
    scaled = "standardised" if feature.scale == "Standard" else "as it is"
    return f"| {feature.name} | Float | {missing} | {scaled} |"


def _champions(measured: Metrics, name: str) -> str:
    value = measured.champion.get(name)
    return "" if value is None else f"{value:.4g}"
