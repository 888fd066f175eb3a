"""What a ModelVersion is used for, as a table."""

from datetime import timedelta

import pytest

from modelyard_core.runs import Verdict
from modelyard_operator.actions import Emit
from modelyard_operator.api.v1alpha1.model_version import ModelVersion
from modelyard_operator.kind import Key
from modelyard_operator.model_version import controller, observed, plan
from modelyard_operator.model_version.observed import Observed
from support.cel import changed, model_version
from support.training_world import NOON


def a_version(verdict="Blessed", status=None) -> ModelVersion:
    spec = {
        "spec.training": "rain",
        "spec.version": 3,
        "spec.verdict": verdict,
        "spec.metrics": {"roc_auc": "0.851352"},
        "spec.headline": "roc_auc",
        "metadata.namespace": "shop",
    }
    obj = changed(model_version.VALID, spec)
    return ModelVersion.model_validate(obj | ({"status": status} if status else {}))


def deployment(name="rain", training="rain", **status):
    return {
        "metadata": {"name": name},
        "spec": {"model": {"training": training}},
        "status": status,
    }


def seen(version: ModelVersion, *deployments, now=NOON) -> Observed:
    return Observed(now, observed.read_servers(version, deployments))


DIGEST = a_version().spec.digest
SERVES = deployment(stable={"digest": DIGEST})
OTHER = deployment(stable={"digest": "sha256:other"})
SERVED = {"firstServedAt": "2026-02-01T00:00:00Z", "phase": "Serving", "summary": "x"}


@pytest.mark.parametrize(
    ("version", "world", "phase"),
    [
        pytest.param(a_version(), (), "Candidate", id="new"),
        pytest.param(a_version("Unverified"), (), "Candidate", id="not-judged"),
        pytest.param(a_version("Rejected"), (), "Rejected", id="rejected"),
        pytest.param(a_version(), (SERVES,), "Serving", id="stable"),
        pytest.param(a_version("Rejected"), (SERVES,), "Serving", id="stable-all-the-same"),
        pytest.param(a_version(), (OTHER,), "Candidate", id="another-is-stable"),
        pytest.param(a_version(), (deployment(rollout={"version": 3}),), "Candidate", id="canary"),
        pytest.param(a_version(status=SERVED), (OTHER,), "Retired", id="was-stable"),
        pytest.param(a_version(status=SERVED), (OTHER, SERVES), "Serving", id="stable-elsewhere"),
        pytest.param(
            a_version(),
            (deployment(training="snow", rollout={"version": 3}),),
            "Candidate",
            id="a-number-of-another-training",
        ),
    ],
)
def test_phase(version, world, phase):
    assert plan.decide(version, seen(version, *world)).status["phase"] == phase


def test_who_serves_it_and_how():
    version = a_version()
    canary = deployment("big", rollout={"version": 3})

    served = plan.decide(version, seen(version, canary, SERVES)).status["servedBy"]

    assert served == [
        {"deployment": "big", "role": "Canary"},
        {"deployment": "rain", "role": "Stable"},
    ]


def test_times_are_remembered_and_do_not_move_by_themselves():
    version = a_version()
    first = plan.decide(version, seen(version, SERVES)).status
    assert first["firstServedAt"] == "2026-03-01T12:00:00Z"

    later = a_version(status=first)
    assert plan.decide(later, seen(later, SERVES, now=NOON + timedelta(days=1))).status == first

    left = plan.decide(later, seen(later, OTHER, now=NOON + timedelta(days=2))).status
    assert left["lastServedAt"] == "2026-03-03T12:00:00Z"
    retired = a_version(status=left)
    assert plan.decide(retired, seen(retired, OTHER, now=NOON + timedelta(days=9))).status == left

    back = plan.decide(retired, seen(retired, SERVES, now=NOON + timedelta(days=9))).status
    assert back["firstServedAt"] == first["firstServedAt"]
    assert "lastServedAt" not in back


@pytest.mark.parametrize(
    ("verdict", "ready", "reason"),
    [
        ("Blessed", "True", "Releasable"),
        ("Rejected", "False", "Rejected"),
        ("Inconclusive", "False", "Inconclusive"),
        ("Unverified", "False", "Unverified"),
    ],
)
def test_ready_says_whether_it_may_be_rolled_out(verdict, ready, reason):
    version = a_version(verdict)

    (condition,) = plan.decide(version, seen(version)).status["conditions"]

    assert (condition["status"], condition["reason"]) == (ready, reason)
    assert {v.value for v in Verdict} >= {verdict}


def test_the_metric_is_short():
    version = a_version()

    assert plan.decide(version, seen(version)).status["metric"] == "roc_auc 0.8514"


def test_a_change_of_use_is_told_once():
    version = a_version(status={"phase": "Candidate", "summary": "x"})
    decision = plan.decide(version, seen(version, SERVES))
    assert decision.actions == (Emit("Normal", "Serving", "Version 3 serves."),)

    served = a_version(status=decision.status)
    assert plan.decide(served, seen(served, SERVES)).actions == ()


def test_what_wakes_a_version():
    obj = {
        "metadata": {"namespace": "shop"},
        "spec": {"training": "rain"},
        "status": {"servedBy": [{"deployment": "front", "role": "Stable"}]},
    }

    assert list(controller.KIND.reads(obj)) == [
        Key("ModelTraining", "shop", "rain"),
        Key("ModelDeployment", "shop", "front"),
    ]
    assert list(controller.KIND.touches(obj)) == [Key("ModelTraining", "shop", "rain")]
