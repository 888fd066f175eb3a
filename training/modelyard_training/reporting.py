"""The answer of a run: a report that always fits into the termination message."""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from modelyard_core import bundle, codec
from modelyard_core.runs import (
    REPORT_LIMIT,
    GateOutcome,
    GateResult,
    RunError,
    RunReport,
    RunRequest,
    Verdict,
)
from modelyard_training.documents import METRICS, Metrics
from modelyard_training.store import Found

SENTENCE_LIMIT = 600
SHORT_SENTENCE = 120


def finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics that are numbers, to six significant digits."""
    return {name: float(f"{value:.6g}") for name, value in metrics.items() if math.isfinite(value)}


def report_found(request: RunRequest, found: Found) -> RunReport:
    """Return the answer that a bundle in the store gives to this request."""
    measured = codec.loads(Metrics, (found.folder / METRICS).read_bytes())
    manifest = found.manifest
    return RunReport(
        run=request.run,
        run_key=request.run_key,
        verdict=Verdict(manifest.verdict),
        digest=found.digest,
        uri=bundle.bundle_uri(request.store_claim, request.training, found.digest),
        data_digest=manifest.data_digest,
        metrics=manifest.metrics,
        gates=measured.gates,
        rows=measured.training_rows + measured.holdout_rows,
        already_trained=manifest.run_key != request.run_key,
    )


def failed(run: str, run_key: str, code: str, sentence: str) -> RunReport:
    """Return the answer of a run that ended without a model."""
    return RunReport(run=run, run_key=run_key, error=RunError(code, sentence[:SENTENCE_LIMIT]))


def text_of(report: RunReport) -> str:
    """Return the report as JSON of at most `REPORT_LIMIT` bytes.

    What was not passed is kept longest; sentences go first, then passed gates, then metrics.
    """
    for shorter in (_same, _short_sentences, _no_passed_sentences, _few_gates, _no_metrics):
        report = shorter(report)
        text = json.dumps(
            codec.encode(report), sort_keys=True, separators=(",", ":"), allow_nan=False
        )
        if len(text.encode()) <= REPORT_LIMIT:
            return text
    return codec.dumps(replace(report, gates=()))


def write_termination_message(path: Path, report: RunReport) -> None:
    """Leave the report where the kubelet reads it; a missing place is not worth failing for."""
    try:
        path.write_text(text_of(report))
    except OSError:
        return


def _same(report: RunReport) -> RunReport:
    return report


def _short_sentences(report: RunReport) -> RunReport:
    gates = (replace(gate, sentence=gate.sentence[:SHORT_SENTENCE]) for gate in report.gates)
    return replace(report, gates=tuple(gates))


def _no_passed_sentences(report: RunReport) -> RunReport:
    return replace(report, gates=tuple(_quiet(gate) for gate in report.gates))


def _few_gates(report: RunReport) -> RunReport:
    telling = [gate for gate in report.gates if gate.outcome is not GateOutcome.PASSED]
    return replace(report, gates=tuple(telling[:8]))


def _no_metrics(report: RunReport) -> RunReport:
    return replace(report, metrics={})


def _quiet(gate: GateResult) -> GateResult:
    return replace(gate, sentence="") if gate.outcome is GateOutcome.PASSED else gate
