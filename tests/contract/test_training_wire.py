"""What a training pod reads and leaves behind: every document equals its golden file.

After a wanted change, write the files anew with `MODELYARD_WRITE_GOLDEN=1 pytest` on this file.
"""

import json
import os
from pathlib import Path

import pytest

from modelyard_core import bundle, codec
from modelyard_core.bundle import Manifest
from modelyard_core.reference import Profile
from modelyard_core.runs import (
    Champion,
    ChampionGate,
    ColumnContract,
    DataContract,
    DataSource,
    Gates,
    MetricGate,
    ParityGate,
    Pipeline,
    RunReport,
    RunRequest,
    Split,
)
from modelyard_core.signature import Signature
from support import training_runs as runs

GOLDEN = Path(__file__).parent / "golden"
CHANGING = (
    *("digest", "uri", "sha256", "size", "createdAt", "sentence", "observed"),
    *("dataDigest", "contentKey"),  # compressors differ from machine to machine
)
DIGITS = 4

REQUEST = runs.a_request(
    run_key="sha256:" + "1" * 64,
    data=DataSource("table.csv.gz", "configMap/table", "sha256:" + "2" * 64),
    split=Split("Hash", 0.25, 42, "day", None),
    contract=DataContract(1000, (ColumnContract("temp", -80.0, 60.0, 0.05),)),
    pipeline=Pipeline("RandomForest", {"max_depth": "none", "n_estimators": "10"}, 7),
    gates=Gates(
        (MetricGate("roc_auc", 0.7, None, ChampionGate(0.01, 0.9)), MetricGate("brier", max=0.3)),
        ParityGate(1e-6, 1e-5),
    ),
    champion=Champion(3, "sha256:" + "3" * 64, "pvc://models/rain/versions/sha256-" + "3" * 64),
    trigger="Drift",
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The documents of a run."""
    workshop = runs.a_workshop(tmp_path_factory.mktemp("run") / "w")
    workshop.run(runs.a_request(run_key="sha256:" + "1" * 64))
    (folder,) = workshop.versions()
    return {
        "run_report.json": workshop.settings.termination_log.read_text(),
        "manifest.json": (folder / bundle.MANIFEST).read_text(),
        "signature.json": (folder / bundle.SIGNATURE).read_text(),
        "profile.json": (folder / bundle.PROFILE).read_text(),
    }


def stable(document):
    """Leave out what differs from machine to machine: digests, sizes, times, last digits."""
    if isinstance(document, dict):
        return {key: stable(value) for key, value in document.items() if key not in CHANGING}
    if isinstance(document, list):
        return [stable(value) for value in document]
    return round(document, DIGITS) if isinstance(document, float) else document


def golden(name, document):
    """Return the golden document, written anew when that is asked for."""
    path = GOLDEN / name
    if os.environ.get("MODELYARD_WRITE_GOLDEN"):
        path.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")
    return json.loads(path.read_text())


def test_the_request_that_the_operator_writes_is_the_one_that_the_job_reads():
    document = golden("run_request.json", codec.encode(REQUEST))

    assert codec.encode(REQUEST) == document
    assert codec.decode(RunRequest, document) == REQUEST


@pytest.mark.parametrize(
    "name", ["run_report.json", "manifest.json", "signature.json", "profile.json"]
)
def test_what_a_run_leaves_behind(finished, name):
    document = stable(json.loads(finished[name]))

    assert document == golden(name, document)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("run_report.json", RunReport),
        ("manifest.json", Manifest),
        ("signature.json", Signature),
        ("profile.json", Profile),
    ],
)
def test_the_others_can_read_it(finished, name, kind):
    read = codec.loads(kind, finished[name])

    assert codec.encode(read) == json.loads(finished[name])
