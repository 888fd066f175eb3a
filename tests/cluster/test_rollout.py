"""Rollouts under real load: what earns traffic, what never does, and what clients see of it."""

import base64
import csv
import gzip
import io
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import broken_image
from support.kube import Kube, Obj
from support.rollout_load import Load

pytestmark = pytest.mark.cluster

NAME = "iris"
STEPS = [{"mirror": 100}, {"weight": 20}, {"weight": 50}]
ANALYSIS = {"minRequests": 50, "checks": [{"type": "Errors", "tolerance": "0.05"}]}
FEATURES = ("a", "b")


def table() -> str:
    """Return gzip'd CSV rows whose label follows from two numbers."""
    dice = random.Random(7)
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["id", *FEATURES, "label"])
    for number in range(1500):
        a, b = dice.gauss(0, 1), dice.gauss(0, 1)
        rows.writerow([number, round(a, 4), round(b, 4), int(a + b + dice.gauss(0, 0.5) > 0)])
    return base64.b64encode(gzip.compress(text.getvalue().encode())).decode()


def training() -> Obj:
    return {
        "apiVersion": "modelyard.dev/v1alpha1",
        "kind": "ModelTraining",
        "metadata": {"name": NAME},
        "spec": {
            "task": "Classification",
            "target": "label",
            "data": {
                "train": {"configMap": {"name": "rows", "path": "rows.csv.gz"}},
                "split": {"strategy": "Hash", "testFraction": "0.3", "keyColumn": "id"},
            },
            "features": [{"name": name, "type": "Float"} for name in FEATURES],
            "pipeline": {"estimator": "Logistic"},
            "gates": {"metrics": [{"name": "roc_auc", "min": "0.7"}]},
        },
    }


def deployment(name: str = NAME, *, image: str | None = None, mark: str = "1", **rollout) -> Obj:
    """Return a ModelDeployment; another mark is another revision of the same model."""
    runtime = {
        "env": [{"name": "MODE", "value": mark}, {"name": "MODELYARD_WORKERS", "value": "1"}],
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
    }
    return {
        "apiVersion": "modelyard.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": name},
        "spec": {
            "model": {"training": NAME},
            "replicas": 1,
            "runtime": runtime | ({"image": image} if image else {}),
            "rollout": {"steps": STEPS, "analysis": ANALYSIS, "drain": "5s"} | rollout,
        },
    }


@pytest.fixture(scope="module")
def model(kube: Kube) -> str:
    kube.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "rows"},
            "binaryData": {"rows.csv.gz": table()},
        },
        training(),
    )
    kube.wait_status("mtrain", NAME, lambda status: status.get("champion"), 240)
    return NAME


@pytest.fixture(scope="module")
def load(kube: Kube, model: str) -> Iterator[Load]:
    """A client that never stops while the tests of this module run."""
    kube.apply(deployment())
    status = kube.wait_status("mdeploy", NAME, lambda s: s.get("phase") == "Idle", 240)
    assert status["lastAttempt"]["reason"] == "FirstRevision"
    load = Load(kube, NAME, FEATURES)
    load.start()
    yield load
    load.stop()


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> str:
    return broken_image.ensure(Path(tmp_path_factory.mktemp("broken")))


def roll(kube: Kube, obj: Obj) -> int:
    """Apply a change and return the number of the attempt that it makes."""
    name = obj["metadata"]["name"]
    before = kube.get("mdeploy", name)["status"]["attempt"]
    kube.apply(obj)
    status = kube.wait_status("mdeploy", name, lambda s: s["attempt"] > before)
    return status["attempt"]


def finish(kube: Kube, attempt: int, name: str = NAME, limit: float = 180) -> Obj:
    """Wait until an attempt has ended and return the status."""

    def is_over(status: Obj) -> bool:
        last = status.get("lastAttempt") or {}
        return last.get("attempt") == attempt and not status.get("draining")

    return kube.wait_status("mdeploy", name, is_over, limit)


def act(kube: Kube, verb: str, attempt: int) -> None:
    action = f"{verb}@{attempt}"
    kube.run("annotate", "mdeploy", NAME, f"modelyard.dev/action={action}", "--overwrite")
    kube.wait_status("mdeploy", NAME, lambda s: s.get("lastHandledAction") == action)


def in_step(kube: Kube, attempt: int, index: int) -> Obj:
    """Wait until an attempt counts requests in a step."""

    def is_there(status: Obj) -> bool:
        rollout = status.get("rollout") or {}
        step = rollout.get("step") or {}
        is_counting = step.get("index") == index and "startedAt" in step
        return rollout.get("attempt") == attempt and is_counting

    return kube.wait_status("mdeploy", NAME, is_there)


def test_a_good_version_is_promoted_and_no_client_notices(kube: Kube, load: Load):
    before = load.read()

    status = finish(kube, roll(kube, deployment(mark="good")))
    seen = load.read() - before

    last = status["lastAttempt"]
    assert (last["outcome"], last["reason"]) == ("Promoted", "EveryStepPassed")
    assert last["analysis"][0]["decision"] == "Passing"
    assert status["stable"]["revision"] == last["revision"]
    assert seen.good.get(last["revision"], 0) > 0
    assert seen.failures == 0, seen


def test_a_version_that_answers_only_500_is_turned_back_before_any_client_sees_it(
    kube: Kube, load: Load, broken: str
):
    stable = kube.get("mdeploy", NAME)["status"]["stable"]
    before = load.read()

    status = finish(kube, roll(kube, deployment(mark="broken", image=broken)))
    seen = load.read() - before

    # The guard and the evidence both see it; which is first depends on when the routers are asked.
    assert status["lastAttempt"]["reason"] in ("CandidateFailing", "AnalysisFailed")
    errors = status["lastAttempt"]["analysis"][0]
    assert errors["badCanary"] == errors["nCanary"] > 0
    assert (status["phase"], status["stable"]) == ("Aborted", stable)
    assert seen.failures == 0, seen
    assert seen.requests > 0


def test_without_a_mirror_clients_see_only_the_errors_of_the_bad_version_itself(
    kube: Kube, load: Load, broken: str
):
    stable = kube.get("mdeploy", NAME)["status"]["stable"]
    before = load.read()

    bad = deployment(mark="broken-live", image=broken, steps=[{"weight": 20}])
    status = finish(kube, roll(kube, bad))
    seen = load.read() - before

    candidate = status["lastAttempt"]["revision"]
    assert status["lastAttempt"]["outcome"] == "Aborted"
    assert status["stable"] == stable
    assert set(seen.errors) <= {candidate}
    assert seen.broken == {}, seen
    assert seen.errors.get(candidate, 0) <= 0.4 * seen.requests


def test_a_version_that_never_answers_is_turned_back_before_any_client_sees_it(
    kube: Kube, load: Load, broken: str
):
    stable = kube.get("mdeploy", NAME)["status"]["stable"]
    before = load.read()

    status = finish(kube, roll(kube, deployment(mark="hang", image=broken)))
    seen = load.read() - before

    assert status["lastAttempt"]["outcome"] == "Aborted"
    assert status["lastAttempt"]["analysis"][0]["badCanary"] > 0
    assert (status["phase"], status["stable"]) == ("Aborted", stable)
    assert seen.failures == 0, seen


def test_a_version_that_never_gets_ready_is_turned_back(kube: Kube, load: Load):
    stable = kube.get("mdeploy", NAME)["status"]["stable"]
    before = load.read()

    absent = deployment(mark="absent", image="modelyard.dev/absent:1", progressDeadline="20s")
    status = finish(kube, roll(kube, absent))
    seen = load.read() - before

    assert status["lastAttempt"]["reason"] == "ProgressDeadlineExceeded"
    assert "modelyard.dev/absent:1" in status["lastAttempt"]["message"]
    assert (status["phase"], status["stable"]) == ("Aborted", stable)
    assert seen.failures == 0, seen


@pytest.mark.parametrize("steps", [[{"mirror": 100}, {"weight": 50}], [{"weight": 50}]])
def test_a_version_without_any_traffic_is_never_promoted(kube: Kube, model: str, steps):
    name = "silent"
    kube.run("delete", "mdeploy", name, "--ignore-not-found", "--wait=true")
    limits = ANALYSIS | {"maxStepDuration": "10s"}
    kube.apply(deployment(name, steps=steps, analysis=limits))
    stable = kube.wait_status("mdeploy", name, lambda s: s.get("phase") == "Idle")["stable"]

    roll(kube, deployment(name, mark="unseen", steps=steps, analysis=limits))
    status = kube.wait_status("mdeploy", name, lambda s: s.get("phase") == "Paused")

    assert status["rollout"]["pause"]["reason"] == "InsufficientData"
    assert status["rollout"]["step"]["index"] == 0
    assert status["stable"] == stable
    kube.run("delete", "mdeploy", name, "--wait=true")


def test_a_newer_revision_takes_the_place_of_a_candidate(kube: Kube, load: Load):
    steps = [{"weight": 20}, {"pause": {}}, {"weight": 50}]
    before = load.read()
    stable = kube.get("mdeploy", NAME)["status"]["stable"]
    first = roll(kube, deployment(mark="first", steps=steps))
    kube.wait_status("mdeploy", NAME, lambda s: s.get("phase") == "Paused")

    second = roll(kube, deployment(mark="second"))
    status = kube.status("mdeploy", NAME)
    assert status["lastAttempt"]["attempt"] == first
    assert status["lastAttempt"]["outcome"] == "Superseded"
    assert status["stable"] == stable
    status = finish(kube, second)
    seen = load.read() - before

    assert status["lastAttempt"]["outcome"] == "Promoted"
    assert seen.failures == 0, seen


def test_people_can_pause_resume_abort_and_retry(kube: Kube, load: Load):
    steps = [{"weight": 20}, {"pause": {}}, {"weight": 50}]
    before = load.read()
    attempt = roll(kube, deployment(mark="by-hand", steps=steps))
    in_step(kube, attempt, 0)

    act(kube, "pause", attempt)
    assert kube.status("mdeploy", NAME)["rollout"]["pause"]["reason"] == "UserPaused"
    act(kube, "resume", attempt)
    kube.wait_status("mdeploy", NAME, lambda s: s["rollout"].get("pause") is not None)
    act(kube, "abort", attempt)
    status = finish(kube, attempt)
    assert (status["phase"], status["lastAttempt"]["reason"]) == ("Aborted", "AbortedByUser")

    act(kube, "retry", attempt)
    kube.wait_status("mdeploy", NAME, lambda s: s["phase"] == "Paused")
    act(kube, "promote", attempt + 1)
    status = finish(kube, attempt + 1)
    seen = load.read() - before

    assert status["lastAttempt"]["outcome"] == "Promoted"
    assert seen.failures == 0, seen


def test_a_refused_action_is_told(kube: Kube, load: Load):
    act(kube, "abort", 1)

    def told() -> list[Obj] | None:
        events = kube.list("events.events.k8s.io")
        return [e for e in events if e["reason"] == "ActionRefused"] or None

    assert "nothing to abort" in json.dumps(kube.wait("the refusal", told, 30))


def test_routers_may_be_replaced_while_clients_send(kube: Kube, load: Load):
    before = load.read()

    kube.run("rollout", "restart", f"deployment/{NAME}-router")
    kube.run("rollout", "status", f"deployment/{NAME}-router", "--timeout=50s")
    load.wait_for_more(400)
    seen = load.read() - before

    assert seen.failures == 0, seen


def test_replicas_apply_at_once_and_restart_nothing(kube: Kube, load: Load):
    before, attempt = load.read(), kube.status("mdeploy", NAME)["attempt"]
    obj = kube.get("mdeploy", NAME)
    revision = obj["status"]["stable"]["revision"]
    [pod] = kube.list("pods", f"modelyard.dev/revision={revision}")

    patch = {"spec": {"replicas": 2}}
    kube.run("patch", "mdeploy", NAME, "--type=merge", "-p", json.dumps(patch))
    status = kube.wait_status("mdeploy", NAME, lambda s: s.get("ready") == "2/2")
    names = [p["metadata"]["name"] for p in kube.list("pods", f"modelyard.dev/revision={revision}")]
    seen = load.read() - before

    assert pod["metadata"]["name"] in names
    assert status["attempt"] == attempt
    assert seen.failures == 0, seen


def test_a_revision_that_was_stable_comes_back_without_steps(kube: Kube, load: Load):
    before = load.read()
    records = kube.status("mdeploy", NAME)["revisions"]
    earlier = next(r for r in records[1:] if "promotedAt" in r)
    mark = next(v["value"] for v in earlier["runtime"]["env"] if v["name"] == "MODE")

    status = finish(kube, roll(kube, deployment(mark=mark)))
    seen = load.read() - before

    assert status["stable"]["revision"] == earlier["name"]
    assert status["lastAttempt"]["reason"] == "StableBefore"
    assert seen.failures == 0, seen


def test_idle_changes_nothing(kube: Kube, load: Load):
    kube.wait_status("mdeploy", NAME, lambda s: s["phase"] == "Idle")
    kinds = "mdeploy,deployments,services,configmaps,poddisruptionbudgets"
    before = versions(kube, kinds)

    load.wait_for_more(900)

    assert versions(kube, kinds) == before


def versions(kube: Kube, kinds: str) -> dict[str, str]:
    """Return the resource version of each object."""
    path = "{range .items[*]}{.kind}/{.metadata.name} {.metadata.resourceVersion}{'\\n'}{end}"
    lines = kube.run("get", kinds, "-o", f"jsonpath={path}").splitlines()
    return dict(line.split() for line in lines)
