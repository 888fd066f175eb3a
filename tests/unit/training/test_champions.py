"""A new model beside the one that serves: better, worse, or not to be compared with."""

import shutil
from pathlib import Path

import pytest
from threadpoolctl import threadpool_limits

from modelyard_core.runs import (
    Champion,
    ChampionGate,
    DataSource,
    ExitCode,
    GateOutcome,
    Gates,
    MetricGate,
    Pipeline,
    Split,
    Verdict,
)
from support import training_runs as runs


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A workshop in which the usual request has run, for copies of it, and the report."""
    workshop = runs.a_workshop(tmp_path_factory.mktemp("trained") / "workshop")
    with threadpool_limits(1):
        return workshop, workshop.run(runs.a_request())[1]


@pytest.fixture
def champion(tmp_path, trained):
    """A workshop with a bundle in its store, and the report of its run."""
    workshop, report = trained
    return runs.Workshop(Path(shutil.copytree(workshop.root, tmp_path / "workshop"))), report


def test_a_better_model_beats_the_champion_on_the_same_rows(workshop):
    _, weak = workshop.run(runs.a_request(features=runs.FEATURES[2:], gates=Gates()))

    request = runs.a_request(
        gates=runs.versus_champion(), champion=Champion(1, weak.digest, weak.uri)
    )
    _, report = workshop.run(request)

    gate = report.gates[1]
    assert (report.verdict, gate.outcome) == (Verdict.BLESSED, GateOutcome.PASSED)
    assert gate.baseline < gate.observed


def test_a_worse_model_is_rejected_by_the_champion(champion):
    workshop, strong = champion
    request = runs.a_request(
        features=runs.FEATURES[:2],
        pipeline=Pipeline("HistGradientBoosting", {"max_iter": "1", "max_leaf_nodes": "2"}),
        gates=Gates((MetricGate("roc_auc", min=0.5), *runs.versus_champion().metrics[1:])),
        champion=Champion(1, strong.digest, strong.uri),
    )
    _, report = workshop.run(request)

    assert (report.verdict, report.gates[1].outcome) == (Verdict.REJECTED, GateOutcome.FAILED)


def test_a_champion_that_reads_other_columns_of_the_data_can_be_asked(champion):
    workshop, earlier = champion
    request = runs.a_request(
        features=runs.FEATURES[:1],
        gates=runs.versus_champion(0.5),
        champion=Champion(1, earlier.digest, earlier.uri),
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
def test_a_champion_that_cannot_be_asked_makes_the_verdict_inconclusive(champion, uri, digest, why):
    workshop, earlier = champion
    told = Champion(1, digest or earlier.digest, uri or earlier.uri)
    request = runs.a_request(
        gates=runs.versus_champion(), champion=told, split=Split("Hash", 0.3, 1, "day")
    )
    code, report = workshop.run(request)

    assert (code, report.verdict) == (ExitCode.DONE, Verdict.INCONCLUSIVE)
    assert report.gates[1].sentence.startswith("ChampionNotComparable")
    assert why in report.gates[1].sentence


def test_a_champion_of_other_classes_cannot_be_compared_with(champion):
    workshop, earlier = champion
    words = runs.changed(lambda t: t.update(rain=["wet" if x else "dry" for x in t["rain"]]))
    runs.write_table(workshop.settings.data / "words.csv", words)

    request = runs.a_request(
        data=DataSource("words.csv", "pvc/t"),
        gates=runs.versus_champion(),
        champion=Champion(1, earlier.digest, earlier.uri),
    )
    _, report = workshop.run(request)

    assert "other classes" in report.gates[1].sentence


def test_a_champion_whose_column_is_gone_cannot_be_compared_with(champion):
    workshop, earlier = champion
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


def test_a_champion_of_another_task_cannot_be_compared_with(champion):
    workshop, earlier = champion
    request = runs.a_request(
        task="Regression",
        target="amount",
        pipeline=Pipeline("RandomForest", {"n_estimators": "10"}),
        gates=Gates((MetricGate("r2", min=0.0, versus_champion=ChampionGate(0.1)),)),
        champion=Champion(1, earlier.digest, earlier.uri),
    )
    _, report = workshop.run(request)

    assert "v1 does Classification, this is Regression" in report.gates[1].sentence
