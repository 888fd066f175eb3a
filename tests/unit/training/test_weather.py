"""The weather example on its real data: what the story claims is true of the program."""

import csv
import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from modelyard_core import bundle, codec
from modelyard_core.reference import Profile, bin_of
from modelyard_core.runs import (
    Champion,
    ChampionGate,
    DataSource,
    ExitCode,
    Feature,
    Gates,
    MetricGate,
    Pipeline,
    Split,
    Verdict,
)
from modelyard_core.signature import Signature
from modelyard_training.evaluate import area_under_roc
from modelyard_training.scoring import OnnxModel
from support import training_runs as runs

pytestmark = pytest.mark.slow

PREPARE = Path(__file__).parents[3] / "examples" / "weather" / "prepare.py"
BOOSTED = Pipeline(
    "HistGradientBoosting", {"learning_rate": "0.05", "max_iter": "200", "max_leaf_nodes": "15"}
)
WEAK = Pipeline("HistGradientBoosting", {"max_iter": "10", "max_leaf_nodes": "2"})


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """The tables of the example, made from the package as its README says."""
    folder = tmp_path_factory.mktemp("weather")
    subprocess.run([sys.executable, str(PREPARE), str(folder)], check=True, stdout=subprocess.PIPE)
    return folder


def columns_of(tables):
    return next(csv.reader(io.StringIO((tables / "calm.csv").read_text())))[1:-1]


def ask_for(tables, pipeline, table="train.csv.gz", scale=None, champion=None):
    features = tuple(Feature(each, "Float", "ImputeMedian", scale) for each in columns_of(tables))
    gates = Gates(
        (MetricGate("roc_auc", min=0.8), MetricGate("roc_auc", versus_champion=ChampionGate(0.03)))
    )
    return runs.a_request(
        data=DataSource(table, "configMap/weather"),
        split=Split("Hash", 0.2, 42, "day"),
        features=features,
        pipeline=pipeline,
        gates=gates,
        champion=champion,
    )


@pytest.fixture(scope="module")
def story(tables, tmp_path_factory):
    """Train the versions of the story, one after the other, in one store."""
    root = tmp_path_factory.mktemp("story")
    workshop = runs.a_workshop(root / "w", {"unused": [1]})
    workshop = _Mounted(workshop.root, tables)
    reports = {}

    def train(name, pipeline, beats=None, **changes):
        champion = (
            Champion(1, reports[beats].digest, reports[beats].uri) if beats in reports else None
        )
        code, reports[name] = workshop.run(ask_for(tables, pipeline, champion=champion, **changes))
        assert code is ExitCode.DONE

    train("linear", Pipeline("Logistic"), scale="Standard")
    train("boosted", BOOSTED, beats="linear")
    train("weak", WEAK, beats="boosted")
    train("retrained", BOOSTED, beats="boosted", table="retrain.csv.gz")
    return workshop, reports


class _Mounted(runs.Workshop):
    """A workshop whose data are the example's tables."""

    __slots__ = ("_tables",)

    def __init__(self, root, tables):
        super().__init__(root)
        object.__setattr__(self, "_tables", tables)

    @property
    def settings(self):
        return replace(super().settings, data=self._tables)


def folder_of(story, name):
    workshop, reports = story
    return workshop.settings.store / bundle.split_uri(reports[name].uri)[1]


def auc(story, tables, name, table):
    folder = folder_of(story, name)
    signature = codec.loads(Signature, (folder / bundle.SIGNATURE).read_bytes())
    model = OnnxModel((folder / bundle.MODEL).read_bytes(), signature)
    rows = pd.read_csv(tables / table)
    scores = model.answer(rows).scores.astype(float)
    return area_under_roc(rows["rain"].to_numpy(dtype=float), scores, np.ones(len(rows)))


def test_the_tables_fit_into_a_config_map(tables):
    assert (tables / "train.csv.gz").stat().st_size < 1 << 20
    assert (tables / "retrain.csv.gz").stat().st_size < 1 << 20


def test_the_verdicts_of_the_story(story):
    _, reports = story

    assert {name: report.verdict for name, report in reports.items()} == {
        "linear": Verdict.BLESSED,
        "boosted": Verdict.BLESSED,
        "weak": Verdict.REJECTED,
        "retrained": Verdict.BLESSED,
    }
    assert reports["boosted"].metrics["roc_auc"] > reports["linear"].metrics["roc_auc"] > 0.84


def test_accuracy_is_lost_in_the_second_era_and_comes_back_by_retraining(story, tables):
    assert auc(story, tables, "boosted", "calm.csv") > 0.84
    assert auc(story, tables, "boosted", "drifted.csv") < 0.55
    assert auc(story, tables, "boosted", "after.csv") < 0.55
    assert auc(story, tables, "retrained", "after.csv") > 0.82


def test_the_champion_is_scored_on_the_rows_of_the_new_world(story):
    gate = story[1]["retrained"].gates[1]

    assert gate.baseline < 0.6
    assert gate.observed > 0.85


@pytest.mark.parametrize(
    ("name", "table", "drifts"),
    [
        pytest.param("boosted", "calm.csv", False, id="unchanged-world"),
        pytest.param("boosted", "drifted.csv", True, id="changed-world"),
        pytest.param("retrained", "after.csv", False, id="rebased"),
    ],
)
def test_the_profile_tells_the_two_eras_apart(story, tables, name, table, drifts):
    profile = codec.loads(Profile, (folder_of(story, name) / bundle.PROFILE).read_bytes())
    rows = pd.read_csv(tables / table)

    shifts = {column.name: psi(column, rows[column.name].to_numpy()) for column in profile.numeric}

    if drifts:
        assert min(shifts["dew_point"], shifts["sea_level_pressure"]) > 1.5
    else:
        assert max(shifts.values()) < 0.05


def psi(column, cells):
    live = np.zeros(len(column.counts))
    for cell in cells.astype(np.float32):
        live[bin_of(column.edges, float(cell))] += 1
    reference = np.asarray(column.counts)
    p = (reference + 0.5) / (reference.sum() + 0.5 * len(live))
    q = (live + 0.5) / (live.sum() + 0.5 * len(live))
    return float(((q - p) * np.log(q / p)).sum())
