"""The objects of a run, part by part."""

import pytest

from modelyard_core import codec
from modelyard_core.runs import RunRequest
from modelyard_operator.api.v1alpha1.common import Amounts
from modelyard_operator.api.v1alpha1.model_training import (
    ModelTraining,
    ModelTrainingSpec,
    TrainingResources,
)
from modelyard_operator.api.v1alpha1.training_status import RunStatus
from modelyard_operator.model_training import render, run_key
from modelyard_operator.model_training.observed import Observed
from support.training_world import IMAGES, NOON, PVC_DATA, a_spec

RUN = RunStatus(
    name="rain-0a1b2c3d", key="sha256:0a1b2c3d", token="t", trigger="Spec", started_at=NOON
)
WORLD = Observed(NOON, IMAGES, "models")
DIGEST = "sha256:" + "d" * 64


def a_training(**changes) -> ModelTraining:
    metadata = {"name": "rain", "namespace": "shop", "uid": "uid-1"}
    return ModelTraining.model_validate({"metadata": metadata, "spec": a_spec(**changes)})


def job(**changes):
    return render.job(a_training(**changes), RUN, WORLD)


def pod(**changes):
    return job(**changes)["spec"]["template"]["spec"]


def test_failure_rules_look_at_disruptions_first():
    rules = job()["spec"]["podFailurePolicy"]["rules"]

    assert [rule["action"] for rule in rules] == ["Ignore", "FailJob", "FailJob"]
    assert rules[0]["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert rules[1]["onExitCodes"]["values"] == [10, 11, 12, 13]
    assert rules[2]["onExitCodes"]["values"] == [137]


def test_a_job_has_a_deadline_and_no_time_to_live():
    spec = job(runtime={"activeDeadline": "1h30m"})["spec"]

    assert spec["activeDeadlineSeconds"] == 5400
    assert spec["podReplacementPolicy"] == "Failed"
    assert "ttlSecondsAfterFinished" not in spec
    assert "suspend" not in spec


def test_a_job_belongs_to_its_training():
    metadata = job()["metadata"]

    (owner,) = metadata["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("ModelTraining", "uid-1", True)
    assert owner["blockOwnerDeletion"] is False
    assert metadata["labels"] == {
        "app.kubernetes.io/managed-by": "modelyard",
        "app.kubernetes.io/component": "training",
        "modelyard.dev/training": "rain",
        "modelyard.dev/run": "rain-0a1b2c3d",
    }
    assert metadata["annotations"]["modelyard.dev/request"] == "t@2026-03-01T12:00:00Z"


def test_a_pod_is_restricted():
    spec = pod()

    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"


@pytest.mark.parametrize(
    ("data", "volume"),
    [
        ({}, {"name": "data", "configMap": {"name": "weather"}}),
        ({"data": PVC_DATA}, {"name": "data", "persistentVolumeClaim": {"claimName": "weather"}}),
    ],
)
def test_data_is_mounted_and_only_the_store_is_written(data, volume):
    spec = pod(**data)

    assert volume in spec["volumes"]
    (container,) = spec["containers"]
    writable = [m["name"] for m in container["volumeMounts"] if not m.get("readOnly")]
    assert writable == ["store", "scratch"]


@pytest.mark.parametrize(
    ("store", "claim"), [({}, "models"), ({"store": {"pvc": {"claimName": "own"}}}, "own")]
)
def test_bundles_go_to_the_claim_of_the_training_or_the_default_one(store, claim):
    volumes = {volume["name"]: volume for volume in pod(**store)["volumes"]}

    assert volumes["store"]["persistentVolumeClaim"]["claimName"] == claim


def amounts(requests=None, limits=None) -> TrainingResources:
    return TrainingResources(
        requests=Amounts(**requests) if requests else None,
        limits=Amounts(**limits) if limits else None,
    )


@pytest.mark.parametrize(
    ("given", "requests", "limits", "threads"),
    [
        (None, {"memory": "1Gi", "cpu": "500m"}, {"memory": "1Gi"}, 1),
        (
            amounts(limits={"memory": "2Gi"}),
            {"memory": "2Gi", "cpu": "500m"},
            {"memory": "2Gi"},
            1,
        ),
        (amounts({"memory": "3Gi"}), {"memory": "3Gi", "cpu": "500m"}, {"memory": "3Gi"}, 1),
        (amounts({"cpu": "1500m"}), {"memory": "1Gi", "cpu": "1500m"}, {"memory": "1Gi"}, 2),
        (
            amounts({"cpu": "1"}, {"cpu": "4"}),
            {"memory": "1Gi", "cpu": "1"},
            {"memory": "1Gi", "cpu": "4"},
            4,
        ),
        (
            amounts(limits={"cpu": "2.5"}),
            {"memory": "1Gi", "cpu": "2.5"},
            {"memory": "1Gi", "cpu": "2.5"},
            3,
        ),
    ],
)
def test_memory_is_promised_in_full_and_threads_follow_the_cpus(given, requests, limits, threads):
    assert render.container_resources(given) == {"requests": requests, "limits": limits}
    assert render.threads(given) == threads


def test_placement_is_passed_on():
    toleration = {"key": "gpu", "operator": "Exists", "tolerationSeconds": 30}
    spec = pod(runtime={"nodeSelector": {"disk": "fast"}, "tolerations": [toleration]})

    assert spec["nodeSelector"] == {"disk": "fast"}
    assert spec["tolerations"] == [toleration]
    assert "tolerations" not in pod()


def test_the_request_survives_the_wire():
    training = a_training(
        gates={
            "metrics": [{"name": "roc_auc", "min": "0.7", "versusChampion": {"maxDrop": "0.01"}}]
        }
    )
    request = render.request(training, RUN, WORLD)

    config = render.config(training, RUN, WORLD)

    assert config["immutable"] is True
    assert codec.loads(RunRequest, config["data"]["run.json"]) == request
    assert request.gates.metrics[0].versus_champion.confidence == 0.95
    assert request.image == IMAGES.training


@pytest.mark.parametrize(
    ("estimator", "missing", "scale"),
    [
        ("Logistic", "ImputeMedian", "Standard"),
        ("RandomForest", "ImputeMedian", "None"),
        ("HistGradientBoosting", "Native", "None"),
    ],
)
def test_features_get_what_suits_the_estimator(estimator, missing, scale):
    training = a_training(pipeline={"estimator": estimator})

    number, category = render.request(training, RUN, WORLD).features

    assert (number.missing, number.scale) == (missing, scale)
    assert (category.encode, category.max_categories) == ("OneHot", 100)


# The run key


def key(image="i", digest=DIGEST, evidence="Spec:a", **changes) -> str:
    spec = ModelTrainingSpec.model_validate(a_spec(**changes))
    return run_key.run_key(spec, image, digest, evidence)


@pytest.mark.parametrize(
    "changes",
    [
        {"gates": {"metrics": []}},
        {"triggers": {"cooldown": "9h"}},
        {"runtime": {"resources": {"limits": {"memory": "8Gi"}}}},
        {"store": {"pvc": {"claimName": "other"}}},
        {"suspend": True},
        {"evidence": "Drift:rain-7"},
    ],
)
def test_what_does_not_change_the_model_does_not_change_the_key(changes):
    assert key(**changes) == key()


@pytest.mark.parametrize(
    "changes",
    [
        {"target": "snow"},
        {"task": "Regression"},
        {"data": PVC_DATA},
        {"features": [{"name": "dew", "type": "Float"}]},
        {"pipeline": {"estimator": "HistGradientBoosting", "params": {"max_iter": "51"}}},
        {"pipeline": {"estimator": "HistGradientBoosting", "seed": 1}},
        {"image": "j"},
        {"digest": "sha256:" + "e" * 64},
    ],
)
def test_what_changes_the_model_changes_the_key(changes):
    assert key(**changes) != key()


def test_evidence_stands_in_for_data_that_only_the_job_can_read():
    assert key(digest=None) != key(digest=None, evidence="Manual:a")


def test_an_upgrade_of_the_operator_is_no_wish_to_train():
    spec = ModelTrainingSpec.model_validate(a_spec())

    assert run_key.spec_hash(spec) == run_key.spec_hash(spec.model_copy())
    assert key(image="old") != key(image="new")
