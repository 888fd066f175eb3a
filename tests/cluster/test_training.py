"""Trainings on a real cluster: a real Job to a blessed version, and bad inputs one by one."""

import base64
import gzip
from typing import Any

import pytest
from sklearn.datasets import load_breast_cancer

from support.kube import Kube, Obj

pytestmark = pytest.mark.cluster

TARGET = "benign"
COLUMNS = ("mean radius", "mean texture", "mean smoothness", "mean concavity", "worst area")
RESOURCES = {"requests": {"cpu": "50m", "memory": "1Gi"}}
LIMIT = 180


def table(rows: slice = slice(None), changes: dict[str, Any] | None = None) -> str:
    """Return a real table (569 biopsies) as CSV, whole columns changed or (None) left out."""
    found = load_breast_cancer(as_frame=True).frame.rename(columns={"target": TARGET})
    found = found[[*COLUMNS, TARGET]].iloc[rows]
    for column, value in (changes or {}).items():
        found = found.drop(columns=column) if value is None else found.assign(**{column: value})
    return found.to_csv(index=False)


def data(name: str, text: str) -> Obj:
    content = base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "binaryData": {"train.csv.gz": content},
    }


def training(name: str, *, rows: str = "cells", **changes: Any) -> Obj:
    """Return a training; `changes` replace sections of its spec."""
    return {
        "apiVersion": "modelyard.dev/v1alpha1",
        "kind": "ModelTraining",
        "metadata": {"name": name},
        "spec": {
            "task": "Classification",
            "target": TARGET,
            "data": {
                "train": {"configMap": {"name": rows, "path": "train.csv.gz"}},
                "split": {"testFraction": "0.5"},
            },
            "features": [{"name": column, "type": "Float"} for column in COLUMNS],
            "pipeline": {"estimator": "Logistic"},
            "gates": {"metrics": [{"name": "roc_auc", "min": "0.8"}]},
            "triggers": {"cooldown": "1s"},
            "runtime": {"resources": RESOURCES},
        }
        | changes,
    }


def condition(status: Obj, type_: str) -> Obj:
    return next((c for c in status.get("conditions", []) if c["type"] == type_), {})


def ended(status: Obj) -> bool:
    return condition(status, "Succeeded").get("status") in ("True", "False")


@pytest.fixture(scope="module")
def namespace(kube: Kube) -> Kube:
    kube.apply(data("cells", table()))
    return kube


@pytest.fixture(scope="module")
def blessed(namespace: Kube) -> Obj:
    namespace.apply(training("cells"))
    return namespace.wait_status("mtrain", "cells", ended, LIMIT)


def test_a_training_becomes_a_blessed_version(namespace: Kube, blessed: Obj):
    assert blessed["phase"] == "Succeeded", namespace.picture()
    assert blessed["latest"]["verdict"] == "Blessed", blessed["summary"]
    assert blessed["champion"]["version"] == 1
    assert condition(blessed, "Stalled")["status"] == "False"

    version = namespace.get("mver", "cells-v1")
    assert float(version["spec"]["metrics"]["roc_auc"]) > 0.8
    assert version["spec"]["digest"] == blessed["champion"]["digest"]
    assert version["spec"]["uri"].startswith("pvc://models/cells/versions/sha256-")
    assert version["spec"]["dataDigest"].startswith("sha256:")
    assert "ownerReferences" not in version["metadata"]


def test_a_version_cannot_be_changed(namespace: Kube, blessed: Obj):
    patch = '{"spec": {"verdict": "Rejected"}}'

    said = namespace.refused("patch", "mver", "cells-v1", "--type=merge", "-p", patch)

    assert "a version cannot change; train again to get a new one" in said


def test_the_same_data_and_settings_are_not_trained_twice(namespace: Kube, blessed: Obj):
    namespace.run("annotate", "mtrain", "cells", "modelyard.dev/retrain=again")

    status = namespace.wait_status(
        "mtrain", "cells", lambda s: s.get("observedRetrain") == "again", LIMIT
    )

    (request,) = (r for r in status["requests"] if r["token"] == "again")
    assert (request["outcome"], request["reason"]) == ("Suppressed", "AlreadyTrained")
    assert request["version"] == 1


def writer(image: str, claim: str) -> Obj:
    """Return a pod that copies the table onto a claim."""
    restricted = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"writer-{claim}"},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "fsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "writer",
                    "image": image,
                    "command": ["cp", "/table/train.csv.gz", "/claim/train.csv.gz"],
                    "securityContext": restricted,
                    "resources": {"requests": {"cpu": "10m"}},
                    "volumeMounts": [
                        {"name": "table", "mountPath": "/table"},
                        {"name": "claim", "mountPath": "/claim"},
                    ],
                }
            ],
            "volumes": [
                {"name": "table", "configMap": {"name": "cells"}},
                {"name": "claim", "persistentVolumeClaim": {"claimName": claim}},
            ],
        },
    }


def second_request_ended(status: Obj) -> bool:
    """Return whether a second request was seen and is over: it is noted before its run begins."""
    requests = status["requests"]
    return len(requests) == 2 and requests[1]["outcome"] not in ("Pending", "Running")


def test_the_job_finds_that_data_on_a_claim_has_not_changed(namespace: Kube, blessed: Obj):
    (pod,) = namespace.list("pods", "modelyard.dev/training=cells")
    image = pod["spec"]["containers"][0]["image"]
    size = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Mi"}}}
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "tables"},
        "spec": size,
    }
    namespace.apply(claim, writer(image, "tables"))
    namespace.run("wait", "pod/writer-tables", "--for=jsonpath={.status.phase}=Succeeded")
    source = {"pvc": {"claimName": "tables", "path": "train.csv.gz"}}
    split = {"testFraction": "0.5"}
    namespace.apply(training("claimed", data={"train": source, "split": split}))
    first = namespace.wait_status("mtrain", "claimed", ended, LIMIT)
    assert first["latest"]["verdict"] == "Blessed", first["summary"]

    namespace.run("annotate", "mtrain", "claimed", "modelyard.dev/retrain=again")
    status = namespace.wait_status("mtrain", "claimed", second_request_ended, LIMIT)

    asked = status["requests"][1]
    assert (asked["outcome"], asked["reason"], asked["version"]) == (
        "Succeeded",
        "AlreadyTrained",
        1,
    )
    assert len(namespace.list("mver", "modelyard.dev/training=claimed")) == 1
    assert len(namespace.list("jobs", "modelyard.dev/training=claimed")) == 2


BAD_DATA = {
    "column": (table(changes={"mean radius": None}), "ColumnMissing", "mean radius"),
    "type": (table(changes={"mean texture": "rough"}), "ColumnWrongType", "mean texture"),
    "empty": ("", "DataEmpty", ""),
    "one-class": (table(changes={TARGET: 1}), "OneClassOnly", TARGET),
    "few-rows": (table(slice(40)), "TooFewRows", ""),
}


@pytest.fixture(scope="module")
def bad(namespace: Kube) -> None:
    """All bad trainings at once, so that their Jobs run side by side."""
    for name, (text, _, _) in BAD_DATA.items():
        namespace.apply(data(f"bad-{name}", text), training(f"bad-{name}", rows=f"bad-{name}"))


@pytest.mark.parametrize("name", BAD_DATA)
def test_bad_data_is_one_sentence_and_no_second_attempt(namespace: Kube, bad: None, name: str):
    _, reason, words = BAD_DATA[name]

    status = namespace.wait_status("mtrain", f"bad-{name}", ended, LIMIT)

    failed = condition(status, "Succeeded")
    assert (failed["status"], failed["reason"]) == ("False", reason), failed
    assert words in failed["message"]
    assert condition(status, "Stalled")["status"] == "True"
    (job,) = namespace.list("jobs", f"modelyard.dev/training=bad-{name}")
    assert job["status"]["failed"] == 1
    assert namespace.list("pods", f"modelyard.dev/training=bad-{name}")[0]["status"]


def test_an_unknown_parameter_is_refused_at_apply(namespace: Kube):
    obj = training("typo", pipeline={"estimator": "Logistic", "params": {"c": "1"}})

    with pytest.raises(AssertionError, match="Logistic takes the params C, max_iter, tol, class"):
        namespace.apply(obj)


def test_data_that_does_not_exist_yet_is_waited_for(namespace: Kube):
    namespace.apply(training("early", rows="later"))
    status = namespace.wait_status("mtrain", "early", lambda s: bool(s.get("summary")), LIMIT)
    assert condition(status, "Succeeded")["reason"] == "DataNotFound"
    assert "ConfigMap later does not exist" in status["summary"]

    namespace.apply(data("later", table()))

    assert namespace.wait_status("mtrain", "early", ended, LIMIT)["phase"] == "Succeeded"


def test_a_run_that_cannot_start_says_why(namespace: Kube):
    runtime = {"nodeSelector": {"modelyard.test/none": "here"}, "startTimeout": "3s"}

    namespace.apply(training("nowhere", runtime=runtime))

    status = namespace.wait_status("mtrain", "nowhere", ended, LIMIT)
    failed = condition(status, "Succeeded")
    assert failed["reason"] == "NotStarted"
    assert "node" in failed["message"]
    namespace.wait(
        "the Job is deleted",
        lambda: None if namespace.list("jobs", "modelyard.dev/training=nowhere") else True,
    )


def test_too_little_memory_is_named_with_its_limit(namespace: Kube):
    runtime = {"resources": {"limits": {"memory": "48Mi"}, "requests": {"cpu": "50m"}}}

    namespace.apply(training("small", runtime=runtime))

    failed = condition(namespace.wait_status("mtrain", "small", ended, LIMIT), "Succeeded")
    assert failed["reason"] == "OutOfMemory"
    assert "limit of 48Mi" in failed["message"]


def test_a_deadline_ends_a_run(namespace: Kube):
    slow = {"estimator": "RandomForest", "params": {"n_estimators": "1000"}}
    runtime = {"resources": RESOURCES, "activeDeadline": "2s"}

    namespace.apply(training("slow", pipeline=slow, runtime=runtime))

    failed = condition(namespace.wait_status("mtrain", "slow", ended, LIMIT), "Succeeded")
    assert failed["reason"] == "DeadlineExceeded"


def test_a_job_that_somebody_deletes_is_made_again(namespace: Kube):
    namespace.apply(training("clumsy", pipeline={"estimator": "RandomForest"}))
    status = namespace.wait_status(
        "mtrain",
        "clumsy",
        lambda s: s.get("run") and namespace.list("jobs", "modelyard.dev/training=clumsy"),
        LIMIT,
    )
    namespace.run("delete", "job", status["run"]["name"], "--wait=false")

    status = namespace.wait_status("mtrain", "clumsy", ended, LIMIT)

    assert status["phase"] == "Succeeded", status["summary"]
    assert len(namespace.list("mver", "modelyard.dev/training=clumsy")) == 1


def test_an_edit_during_a_run_trains_twice_and_in_order(namespace: Kube):
    namespace.apply(training("edited", pipeline={"estimator": "RandomForest"}))
    namespace.wait_status("mtrain", "edited", lambda s: s.get("run") is not None, LIMIT)
    namespace.apply(training("edited", pipeline={"estimator": "Logistic"}))

    status = namespace.wait_status(
        "mtrain", "edited", lambda s: s.get("lastVersion") == 2 and ended(s), LIMIT
    )

    assert [r["outcome"] for r in status["requests"]] == ["Succeeded", "Succeeded"]
    assert [r["version"] for r in status["requests"]] == [1, 2]


def test_the_pod_is_restricted_and_has_no_token(namespace: Kube, blessed: Obj):
    (pod,) = namespace.list("pods", "modelyard.dev/training=cells")

    spec = pod["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert all("projected" not in volume for volume in spec["volumes"])
    (container,) = spec["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    memory = {key: container["resources"][key]["memory"] for key in ("requests", "limits")}
    assert memory == {"requests": "1Gi", "limits": "1Gi"}


def test_deleting_a_training_takes_its_jobs_and_leaves_its_versions(namespace: Kube):
    namespace.apply(training("leaving"))
    namespace.wait_status("mtrain", "leaving", ended, LIMIT)

    namespace.run("delete", "mtrain", "leaving")

    namespace.wait(
        "the Jobs are gone",
        lambda: None if namespace.list("jobs", "modelyard.dev/training=leaving") else True,
    )
    assert namespace.get("mver", "leaving-v1")["spec"]["verdict"] == "Blessed"
