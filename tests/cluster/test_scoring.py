"""The example Job of batch scoring on a real cluster, as a person would apply it."""

import base64
import gzip
import json
from pathlib import Path

import pandas as pd
import pytest
from hack import caches
from hack.cluster.layout import NODE_ADDRESS
from sklearn.datasets import load_breast_cancer

from support import s3
from support.kube import Kube, Obj

pytestmark = pytest.mark.cluster

EXAMPLE = Path(__file__).parents[2] / "examples" / "scoring"
COLUMNS = ("mean radius", "mean texture", "worst area")
JOBS = {"job": "score", "look": "look", "job-s3": "score-s3"}
LIMIT = 180


def table() -> pd.DataFrame:
    """Return a real table (569 biopsies), with a number for each row."""
    found = load_breast_cancer(as_frame=True).frame.rename(columns={"target": "benign"})
    found = found[[*COLUMNS, "benign"]]
    return found.assign(day=range(len(found)))


def training(name: str, estimator: str) -> Obj:
    return {
        "apiVersion": "modelyard.dev/v1alpha1",
        "kind": "ModelTraining",
        "metadata": {"name": name},
        "spec": {
            "task": "Classification",
            "target": "benign",
            "data": {
                "train": {"configMap": {"name": "cells", "path": "train.csv.gz"}},
                "split": {"testFraction": "0.5"},
            },
            "features": [{"name": column, "type": "Float"} for column in COLUMNS],
            "pipeline": {"estimator": estimator},
            "gates": {"metrics": [{"name": "roc_auc", "min": "0.8"}]},
            "triggers": {"cooldown": "1s"},
            "runtime": {"resources": {"requests": {"cpu": "50m", "memory": "1Gi"}}},
        },
    }


@pytest.fixture(scope="module")
def trained(kube: Kube) -> Kube:
    """Two versions of different trainings, and the rows to score."""
    rows = table().to_csv(index=False)
    packed = base64.b64encode(gzip.compress(rows.encode(), mtime=0)).decode()
    for name, content in (
        ("cells", {"binaryData": {"train.csv.gz": packed}}),
        ("rows", {"data": {"rows.csv": rows}}),
    ):
        kube.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, **content})
    kube.apply(training("cells", "Logistic"), training("others", "RandomForest"))
    for name in ("cells", "others"):
        kube.wait_status("mtrain", name, lambda status: bool(status.get("latest")), LIMIT)
    return kube


def run(kube: Kube, name: str, model: str = "") -> Obj:
    """Apply one of the example's Jobs anew and return its pod's last word when it has ended."""
    image = json.loads(caches.image_list().read_text())["scoring"]
    text = (EXAMPLE / f"{name}.yaml").read_text()
    text = text.replace("${IMAGE}", image).replace("${MODEL}", model)
    text = text.replace("${BUCKET}", s3.BUCKET)
    job = JOBS[name]
    kube.run("delete", "job", job, "--ignore-not-found", "--wait=true", "--cascade=foreground")
    kube.run("apply", "-f", "-", text=text)

    def ended() -> Obj | None:
        conditions = kube.get("job", job).get("status", {}).get("conditions", [])
        return next((c for c in conditions if c["type"] in ("Complete", "Failed")), None)

    return kube.wait(f"job/{job}", ended, LIMIT)


def last_word(kube: Kube, name: str = "job") -> Obj:
    (pod,) = kube.list("pods", f"job-name={JOBS[name]}")
    terminated = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    message: Obj = json.loads(terminated["message"])
    return message


def uri(kube: Kube, version: str) -> str:
    found: str = kube.get("mver", version)["spec"]["uri"]
    return found


def test_the_example_scores_every_row_and_its_predictions_can_be_read(trained: Kube):
    assert run(trained, "job", uri(trained, "cells-v1"))["type"] == "Complete"

    said = last_word(trained)
    assert (said["rows"], said["found_parts"]) == (569, 0)
    assert run(trained, "look")["type"] == "Complete"
    first = trained.run("logs", "job/look").splitlines()[-5:]
    assert first[0].startswith("{'day': '0', 'label': ")


def test_applied_again_it_finds_its_work_done(trained: Kube):
    run(trained, "job", uri(trained, "cells-v1"))
    assert run(trained, "job", uri(trained, "cells-v1"))["type"] == "Complete"

    assert last_word(trained)["found_parts"] == 1


def test_another_version_fails_at_once_with_a_sentence(trained: Kube):
    run(trained, "job", uri(trained, "cells-v1"))

    condition = run(trained, "job", uri(trained, "others-v1"))

    assert (condition["type"], condition["reason"]) == ("Failed", "PodFailurePolicy")
    error = last_word(trained)["error"]
    assert error["reason"] == "OutputOfAnotherRun"
    assert "another model" in error["message"]


def test_the_same_from_s3_to_s3(trained: Kube, tmp_path: Path):
    with s3.running(tmp_path / "s3", NODE_ADDRESS) as server:
        files, uri_ = server.files(), uri(trained, "cells-v1")
        with files.open_output_stream(f"{s3.BUCKET}/rows.parquet") as rows:
            table().to_parquet(rows)
        literals = [f"--from-literal={k}={v}" for k, v in server.environment().items()]
        trained.run("create", "secret", "generic", "s3", *literals)

        assert run(trained, "job-s3", uri_)["type"] == "Complete"
        said = last_word(trained, "job-s3")
        assert run(trained, "job-s3", uri_)["type"] == "Complete"
        again = last_word(trained, "job-s3")

        found = pd.read_parquet(f"{s3.BUCKET}/predictions/rain", filesystem=files)
    assert (said["rows"], said["found_parts"], again["found_parts"]) == (569, 0, 1)
    assert found["day"].tolist() == list(range(569))
    assert (found["label"] == table()["benign"].astype(found["label"].dtype)).mean() > 0.8
