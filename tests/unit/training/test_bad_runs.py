"""Bad data, bad requests and bugs: the exit code, one sentence, and nothing left behind."""

from dataclasses import replace

import pytest

from modelyard_core.runs import (
    ColumnContract,
    DataContract,
    DataSource,
    ExitCode,
    Feature,
    Gates,
    MetricGate,
    Pipeline,
    Split,
)
from support import training_runs as runs


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
