"""The whole program on small tables: what is stored, what is reported, how it ends."""

import json
from dataclasses import replace

import pytest

from modelyard_core import bundle, codec
from modelyard_core.bundle import Manifest
from modelyard_core.canonical import digest_bytes, digest_file
from modelyard_core.runs import (
    Champion,
    ChampionGate,
    ColumnContract,
    DataContract,
    DataSource,
    ExitCode,
    Feature,
    GateOutcome,
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


@pytest.fixture
def workshop(tmp_path):
    return runs.a_workshop(tmp_path)


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


def test_a_better_model_beats_the_champion_on_the_same_rows(workshop):
    _, weak = workshop.run(runs.a_request(features=runs.FEATURES[2:], gates=Gates()))

    request = runs.a_request(
        gates=runs.versus_champion(), champion=Champion(1, weak.digest, weak.uri)
    )
    _, report = workshop.run(request)

    gate = report.gates[1]
    assert (report.verdict, gate.outcome) == (Verdict.BLESSED, GateOutcome.PASSED)
    assert gate.baseline < gate.observed


def test_a_worse_model_is_rejected_by_the_champion(workshop):
    _, strong = workshop.run(runs.a_request())

    request = runs.a_request(
        features=runs.FEATURES[:2],
        pipeline=Pipeline("HistGradientBoosting", {"max_iter": "1", "max_leaf_nodes": "2"}),
        gates=Gates((MetricGate("roc_auc", min=0.5), *runs.versus_champion().metrics[1:])),
        champion=Champion(1, strong.digest, strong.uri),
    )
    _, report = workshop.run(request)

    assert (report.verdict, report.gates[1].outcome) == (Verdict.REJECTED, GateOutcome.FAILED)


def test_a_champion_that_reads_other_columns_of_the_data_can_be_asked(workshop):
    _, champion = workshop.run(runs.a_request())

    request = runs.a_request(
        features=runs.FEATURES[:1],
        gates=runs.versus_champion(0.5),
        champion=Champion(1, champion.digest, champion.uri),
    )
    _, report = workshop.run(request)

    assert report.gates[1].outcome is GateOutcome.PASSED


@pytest.mark.parametrize(
    ("uri", "digest", "why"),
    [
        pytest.param("pvc://models/rain/versions/gone", None, "cannot be read", id="gone"),
        pytest.param("pvc://elsewhere/rain/versions/x", None, "another volume", id="elsewhere"),
        pytest.param(None, "sha256:" + "0" * 64, "another digest", id="not-the-same"),
        pytest.param("s3://bucket/x", None, "not an address", id="not-a-volume"),
    ],
)
def test_a_champion_that_cannot_be_asked_makes_the_verdict_inconclusive(workshop, uri, digest, why):
    _, earlier = workshop.run(runs.a_request())

    champion = Champion(1, digest or earlier.digest, uri or earlier.uri)
    request = runs.a_request(
        gates=runs.versus_champion(), champion=champion, split=Split("Hash", 0.3, 1, "day")
    )
    code, report = workshop.run(request)

    assert (code, report.verdict) == (ExitCode.DONE, Verdict.INCONCLUSIVE)
    assert report.gates[1].sentence.startswith("ChampionNotComparable")
    assert why in report.gates[1].sentence


def test_a_champion_of_other_classes_cannot_be_compared_with(tmp_path):
    workshop = runs.a_workshop(tmp_path)
    _, earlier = workshop.run(runs.a_request())
    words = runs.changed(lambda t: t.update(rain=["wet" if x else "dry" for x in t["rain"]]))
    runs.write_table(workshop.settings.data / "words.csv", words)

    request = runs.a_request(
        data=DataSource("words.csv", "pvc/t"),
        gates=runs.versus_champion(),
        champion=Champion(1, earlier.digest, earlier.uri),
    )
    _, report = workshop.run(request)

    assert "other classes" in report.gates[1].sentence


def test_a_champion_whose_column_is_gone_cannot_be_compared_with(tmp_path):
    workshop = runs.a_workshop(tmp_path)
    _, earlier = workshop.run(runs.a_request())
    words = runs.changed(lambda t: (t.pop("city"), t.update(wind=["calm"] * len(t["wind"]))))
    runs.write_table(workshop.settings.data / "less.csv", words)

    request = runs.a_request(
        data=DataSource("less.csv", "pvc/t"),
        features=runs.FEATURES[:1],
        gates=runs.versus_champion(),
        champion=Champion(1, earlier.digest, earlier.uri),
    )
    _, report = workshop.run(request)

    assert report.verdict is Verdict.INCONCLUSIVE
    assert "reads column 'wind', which the data does not have" in report.gates[1].sentence


def test_a_champion_of_another_task_cannot_be_compared_with(workshop):
    _, earlier = workshop.run(runs.a_request())

    request = runs.a_request(
        task="Regression",
        target="amount",
        pipeline=Pipeline("RandomForest", SMALL["RandomForest"]),
        gates=Gates((MetricGate("r2", min=0.0, versus_champion=ChampionGate(0.1)),)),
        champion=Champion(1, earlier.digest, earlier.uri),
    )
    _, report = workshop.run(request)

    assert "v1 does Classification, this is Regression" in report.gates[1].sentence


def test_a_solver_that_did_not_converge_is_noted_on_the_card(workshop):
    workshop.run(runs.a_request(pipeline=Pipeline("Logistic", {"max_iter": "10", "tol": "1e-8"})))

    card = (workshop.versions()[0] / "card.md").read_text()

    assert "- Note: lbfgs failed to converge" in card


# ---- failures -----------------------------------------------------------------------------------


def _renamed(table):
    table["wetness"] = table.pop("rain")


def _cell(column, value, row=16):
    def change(table):
        table[column][row] = value

    return change


def _all(column, value):
    return lambda table: table.update({column: [value] * len(table[column])})


def _only(rows):
    return lambda table: table.update({name: cells[:rows] for name, cells in table.items()})


BAD_TABLES = [
    pytest.param(
        lambda t: t.pop("wind"), "ColumnMissing", "no column 'wind'; it has day, temp", id="column"
    ),
    pytest.param(_renamed, "ColumnMissing", "no column 'rain'", id="target"),
    pytest.param(
        _cell("temp", "warm"),
        "ColumnWrongType",
        "column 'temp': 1 of 1500 values are not numbers (first in row 17)",
        id="type",
    ),
    pytest.param(_cell("wind", "1e39"), "ColumnWrongType", "too large", id="float32"),
    pytest.param(_cell("rain", None), "TargetMissing", "have no label", id="label"),
    pytest.param(_all("rain", 1), "OneClassOnly", "the same label", id="one-class"),
    pytest.param(
        lambda t: t.update(rain=[f"c{i}" for i in t["day"]]),
        "TooManyClasses",
        "1500 classes",
        id="classes",
    ),
    pytest.param(_all("wind", None), "ColumnEmpty", "'wind' has no value", id="empty-column"),
    pytest.param(_only(0), "DataEmpty", "no row", id="no-rows"),
    pytest.param(_only(40), "TooFewRows", "are left to train on; 50 are needed", id="few-rows"),
]


@pytest.mark.parametrize(("change", "code", "sentence"), BAD_TABLES)
def test_bad_data_ends_with_one_sentence(tmp_path, change, code, sentence):
    workshop = runs.a_workshop(tmp_path, runs.changed(change))

    exit_code, report = workshop.run(runs.a_request())

    assert exit_code is ExitCode.BAD_DATA
    assert report.error.code == code
    assert sentence in report.error.sentence
    assert "\n" not in report.error.sentence
    assert workshop.versions() == []
    assert workshop.left_over() == []


def test_no_cell_is_ever_quoted(tmp_path):
    secret = "4111-1111-1111-1111"
    workshop = runs.a_workshop(tmp_path, runs.changed(_cell("temp", secret)))

    workshop.run(runs.a_request())

    assert secret not in workshop.settings.termination_log.read_text()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        pytest.param(b"", "DataEmpty", id="empty-file"),
        pytest.param(b"not a gzip", "DataUnreadable", id="not-gzip"),
        pytest.param(b"\x1f\x8b\x08\x00half", "DataUnreadable", id="cut-off"),
    ],
)
def test_a_file_that_is_not_what_its_name_says(workshop, content, code):
    (workshop.settings.data / "table.csv.gz").write_bytes(content)

    exit_code, report = workshop.run(runs.a_request())

    assert (exit_code, report.error.code) == (ExitCode.BAD_DATA, code)


@pytest.mark.parametrize(
    ("source", "exit_code", "code"),
    [
        pytest.param("gone.csv", ExitCode.BAD_DATA, "DataNotFound", id="no-file"),
        pytest.param("../in/run.json.csv", ExitCode.BAD_SPEC, "InvalidSpec", id="leaves-volume"),
        pytest.param("table.xlsx", ExitCode.BAD_SPEC, "InvalidSpec", id="format"),
    ],
)
def test_a_path_that_leads_nowhere(workshop, source, exit_code, code):
    seen, report = workshop.run(runs.a_request(data=DataSource(source, "pvc/t")))

    assert (seen, report.error.code) == (exit_code, code)


def test_other_bytes_than_pinned_are_refused(workshop):
    pinned = DataSource("table.csv.gz", "configMap/table", "sha256:" + "0" * 64)

    exit_code, report = workshop.run(runs.a_request(data=pinned))

    assert (exit_code, report.error.code) == (ExitCode.BAD_DATA, "DataDigestMismatch")


def test_every_violation_of_the_contract_is_counted(workshop):
    contract = DataContract(
        min_rows=5000,
        columns=(
            ColumnContract("temp", min=10.0, max=20.0),
            ColumnContract("wind", max_missing=0.0),
            ColumnContract("amount", min=0.0),
        ),
    )

    exit_code, report = workshop.run(runs.a_request(contract=contract))

    assert (exit_code, report.error.code) == (ExitCode.BAD_DATA, "ContractViolated")
    assert "1500 rows are fewer than the 5000" in report.error.sentence
    assert report.error.sentence.endswith("and 1 more")


def test_a_category_has_no_bounds(workshop):
    contract = DataContract(columns=(ColumnContract("city", min=1.0),))

    exit_code, report = workshop.run(runs.a_request(contract=contract))

    assert exit_code is ExitCode.BAD_SPEC
    assert "'city' is a Category" in report.error.sentence


@pytest.mark.parametrize(
    ("changes", "code", "sentence"),
    [
        pytest.param(
            {"pipeline": Pipeline("Logistic", {"c": "1"})},
            "BadParameter",
            "Logistic has no parameter 'c' for Classification; it has C, ",
            id="parameter",
        ),
        pytest.param(
            {"pipeline": Pipeline("RandomForest", {"n_estimators": "100000"})},
            "BadParameter",
            "n_estimators must be an integer from 1 to 1000",
            id="bound",
        ),
        pytest.param(
            {"pipeline": Pipeline("SVC")}, "BadParameter", "must be one of Logistic", id="estimator"
        ),
        pytest.param(
            {"gates": Gates((MetricGate("rmse", max=1.0),))},
            "UnknownMetric",
            "'rmse' is no metric for Classification",
            id="metric",
        ),
        pytest.param(
            {"features": (Feature("temp", "Float", "Native"),)},
            "InvalidSpec",
            "Logistic does not take missing values",
            id="native-missing",
        ),
        pytest.param(
            {"features": (Feature("label", "Float"),)},
            "InvalidSpec",
            "an output has that name",
            id="reserved-name",
        ),
        pytest.param({"features": ()}, "InvalidSpec", "at least one column", id="no-features"),
        pytest.param(
            {"features": runs.FEATURES[:1] * 2}, "InvalidSpec", "listed twice", id="feature-twice"
        ),
        pytest.param(
            {"features": (Feature("temp", "Number"),)},
            "InvalidSpec",
            "type must be one of Float, Category",
            id="feature-type",
        ),
        pytest.param(
            {"features": (Feature("city", "Category", max_categories=0),)},
            "InvalidSpec",
            "maxCategories must be at least 1",
            id="no-categories",
        ),
        pytest.param({"task": "Clustering"}, "InvalidSpec", "task must be one of", id="task"),
        pytest.param(
            {"task": "Regression", "gates": Gates()},
            "BadParameter",
            "Logistic does not do Regression",
            id="estimator-for-another-task",
        ),
        pytest.param(
            {"split": Split("Random", 0.2)}, "InvalidSpec", "must be one of Hash, Time", id="split"
        ),
        pytest.param(
            {"gates": Gates((MetricGate("f1"),))}, "InvalidSpec", "needs min, max", id="no-bound"
        ),
        pytest.param(
            {"gates": runs.versus_champion(-0.1)}, "InvalidSpec", "must not be negative", id="drop"
        ),
        pytest.param({"target": "temp"}, "InvalidSpec", "feature as well", id="target-is-feature"),
        pytest.param(
            {"split": Split("Hash", 1.0)}, "InvalidSpec", "between 0 and 1", id="fraction"
        ),
        pytest.param({"split": Split("Time", 0.2)}, "InvalidSpec", "timeColumn", id="no-time"),
    ],
)
def test_a_bad_spec_ends_before_any_data_is_read(workshop, changes, code, sentence):
    (workshop.settings.data / "table.csv.gz").unlink()

    exit_code, report = workshop.run(runs.a_request(**changes))

    assert exit_code is ExitCode.BAD_SPEC
    assert report.error.code == code
    assert sentence in report.error.sentence


def test_a_request_of_another_shape_is_refused(workshop):
    workshop.put(runs.a_request())
    workshop.settings.request.write_text('{"training": 7}')

    code = runs.Run(workshop.settings, runs.open_journal()).run()

    assert (code, workshop.report().error.code) == (ExitCode.BAD_SPEC, "InvalidRequest")


def test_a_bug_leaves_one_sentence_and_a_log(workshop, capsys):
    broken = replace(workshop.settings, scratch=workshop.settings.termination_log / "no" / "where")
    workshop.put(runs.a_request())

    code = runs.Run(broken, runs.open_journal()).run()

    assert code is ExitCode.BUG
    assert workshop.report().error.sentence.startswith("unexpected ")
    assert "Traceback" not in workshop.settings.termination_log.read_text()
    assert "Traceback" in capsys.readouterr().err
