"""The whole program on small tables: what is stored, what is reported, how it ends."""

import json

import pytest

from modelyard_core import bundle, codec
from modelyard_core.bundle import Manifest
from modelyard_core.canonical import digest_bytes, digest_file
from modelyard_core.runs import (
    DataSource,
    ExitCode,
    Gates,
    MetricGate,
    Pipeline,
    Split,
    Verdict,
)
from support import training_runs as runs

SMALL = {"RandomForest": {"n_estimators": "10"}, "HistGradientBoosting": {"max_iter": "10"}}
FILES = {
    "model.onnx",
    "signature.json",
    "profile.json",
    "metrics.json",
    "parity.json",
    "data.json",
    "environment.json",
    "card.md",
    "log.txt",
}


def test_a_good_model_is_blessed_and_stored_whole(workshop):
    code, report = workshop.run(runs.a_request())

    assert code is ExitCode.DONE
    assert report.verdict is Verdict.BLESSED
    assert report.metrics["roc_auc"] > 0.8
    folder = workshop.settings.store / bundle.split_uri(report.uri)[1]
    text = (folder / "manifest.json").read_bytes()
    manifest = codec.loads(Manifest, text)
    assert digest_bytes(text) == report.digest
    assert {file.path for file in manifest.files} == FILES
    assert {path.name for path in folder.iterdir()} == FILES | {"manifest.json"}
    for file in manifest.files:
        assert digest_file(folder / file.path) == f"sha256:{file.sha256}"
    assert workshop.left_over() == []


def test_the_same_run_again_gives_the_same_answer_without_training(workshop):
    first = workshop.run(runs.a_request())

    (workshop.settings.data / "table.csv.gz").unlink()
    second = workshop.run(runs.a_request())

    assert second == first
    assert len(workshop.versions()) == 1


def test_the_same_content_under_another_run_key_is_already_trained(workshop):
    _, first = workshop.run(runs.a_request())

    code, second = workshop.run(runs.a_request(run="rain-00000002", run_key="sha256:other"))

    assert code is ExitCode.DONE
    assert (second.run, second.already_trained) == ("rain-00000002", True)
    assert (second.digest, second.verdict) == (first.digest, first.verdict)
    assert len(workshop.versions()) == 1


@pytest.mark.parametrize("estimator", ["Logistic", "RandomForest", "HistGradientBoosting"])
def test_the_same_data_spec_and_seed_give_the_same_model_bytes(tmp_path, estimator):
    models = []
    for name in ("one", "two"):
        workshop = runs.a_workshop(tmp_path / name)
        params = SMALL.get(estimator, {})
        workshop.run(runs.a_request(pipeline=Pipeline(estimator, params)))
        models.append(digest_file(workshop.versions()[0] / "model.onnx"))

    assert models[0] == models[1]


def test_a_regression_is_trained_and_measured(workshop):
    request = runs.a_request(
        task="Regression",
        target="amount",
        pipeline=Pipeline("HistGradientBoosting", {"max_iter": "15"}),
        gates=Gates((MetricGate("r2", min=0.3), MetricGate("mae", max=5.0))),
    )

    code, report = workshop.run(request)

    assert (code, report.verdict) == (ExitCode.DONE, Verdict.BLESSED)
    signature = json.loads((workshop.versions()[0] / "signature.json").read_text())
    assert [output["name"] for output in signature["outputs"]] == ["prediction"]
    assert signature["score"] == "prediction"


def test_parquet_and_text_labels_work(tmp_path):
    table = runs.changed(lambda t: t.update(rain=["wet" if x else "dry" for x in t["rain"]]))
    workshop = runs.a_workshop(tmp_path, table, "table.parquet")

    code, report = workshop.run(runs.a_request(data=DataSource("table.parquet", "pvc/t")))

    assert (code, report.verdict) == (ExitCode.DONE, Verdict.BLESSED)
    signature = json.loads((workshop.versions()[0] / "signature.json").read_text())
    assert signature["classes"] == ["dry", "wet"]
    assert signature["outputs"][0] == {"name": "label", "datatype": "BYTES", "shape": [-1]}


def test_csv_and_parquet_of_the_same_rows_have_one_row_digest(tmp_path):
    digests = []
    for name in ("table.csv", "table.csv.gz", "table.parquet"):
        workshop = runs.a_workshop(tmp_path / name, None, name)
        workshop.run(runs.a_request(data=DataSource(name, "pvc/t")))
        digests.append(json.loads((workshop.versions()[0] / "data.json").read_text()))

    assert len({each["rowsDigest"] for each in digests}) == 1
    assert len({each["digest"] for each in digests}) == 3


def test_a_time_split_holds_the_newest_rows_out(workshop):
    request = runs.a_request(split=Split("Time", 0.2, time_column="day"))

    _, report = workshop.run(request)

    assert report.gates[0].rows == 300


# ---- verdicts -----------------------------------------------------------------------------------


def test_a_rejected_model_is_a_successful_run_and_is_kept(workshop):
    request = runs.a_request(gates=Gates((MetricGate("roc_auc", min=0.999),)))

    code, report = workshop.run(request)

    assert (code, report.verdict) == (ExitCode.DONE, Verdict.REJECTED)
    assert report.gates[0].sentence.startswith("roc_auc is 0.")
    assert len(workshop.versions()) == 1


def test_without_an_absolute_gate_the_model_is_unverified(workshop):
    _, report = workshop.run(runs.a_request(gates=Gates()))

    assert report.verdict is Verdict.UNVERIFIED


def test_a_holdout_that_is_too_small_judges_nothing(workshop):
    _, report = workshop.run(runs.a_request(split=Split("Hash", 0.05, 42, "day")))

    assert report.verdict is Verdict.INCONCLUSIVE
    assert "rows; 200 are needed" in report.gates[0].sentence


def test_a_solver_that_did_not_converge_is_noted_on_the_card(workshop):
    workshop.run(runs.a_request(pipeline=Pipeline("Logistic", {"max_iter": "10", "tol": "1e-8"})))

    card = (workshop.versions()[0] / "card.md").read_text()

    assert "- Note: lbfgs failed to converge" in card
