"""The report always fits, and keeps what matters longest."""

import json

from hypothesis import given
from hypothesis import strategies as st

from modelyard_core import codec
from modelyard_core.runs import REPORT_LIMIT, GateOutcome, GateResult, RunReport, Verdict
from modelyard_training import reporting

GATES = st.lists(
    st.builds(
        GateResult,
        name=st.text(max_size=40),
        kind=st.sampled_from(["Absolute", "VersusChampion"]),
        outcome=st.sampled_from(list(GateOutcome)),
        observed=st.floats(-1e9, 1e9),
        sentence=st.text(max_size=900),
    ),
    max_size=40,
)


@given(GATES, st.dictionaries(st.text(max_size=40), st.floats(-1, 1), max_size=60))
def test_a_report_never_exceeds_the_limit_and_keeps_its_identity(gates, metrics):
    report = RunReport(
        run="rain-00000001",
        run_key="sha256:" + "0" * 64,
        verdict=Verdict.REJECTED,
        digest="sha256:" + "1" * 64,
        uri="pvc://models/rain/versions/sha256-" + "1" * 64,
        metrics=metrics,
        gates=tuple(gates),
    )

    text = reporting.text_of(report)

    assert len(text.encode()) <= REPORT_LIMIT
    read = codec.loads(RunReport, text)
    assert (read.run, read.verdict, read.digest) == (report.run, report.verdict, report.digest)


def test_a_long_report_keeps_the_gates_that_failed():
    failed = GateResult("roc_auc", "Absolute", GateOutcome.FAILED, sentence="x" * 700)
    passed = GateResult("f1", "Absolute", GateOutcome.PASSED, sentence="y" * 700)
    report = RunReport("r", "k", Verdict.REJECTED, gates=(*[passed] * 30, failed))

    kept = codec.loads(RunReport, reporting.text_of(report)).gates

    assert any(gate.outcome is GateOutcome.FAILED and gate.sentence for gate in kept)


def test_metrics_that_are_no_numbers_are_left_out():
    metrics = {"a": 0.123456789, "b": float("nan"), "c": float("inf")}

    assert reporting.finite(metrics) == {"a": 0.123457}


def test_a_place_that_cannot_be_written_is_not_worth_failing_for(tmp_path):
    report = reporting.failed("r", "k", "Bug", "x" * 5000)

    reporting.write_termination_message(tmp_path / "no" / "where", report)
    reporting.write_termination_message(tmp_path / "log", report)

    assert len(json.loads((tmp_path / "log").read_text())["error"]["sentence"]) == 600
