"""What is read for a DriftMonitor, and what the monitor service is asked for."""

from types import SimpleNamespace

import pytest

from modelyard_core.errors import Rejected
from modelyard_core.watch import Target
from modelyard_operator.drift_monitor import controller
from modelyard_operator.drift_monitor.observed import forget, observe
from modelyard_operator.kind import Key
from support.drift_world import NOON, RETRAIN, V1, a_monitor, a_report
from support.fake_cluster import FakeCluster


class Service:
    """The port Monitor."""

    def __init__(self, report=None):
        self.report = report
        self.refusal = ""
        self.watches = {}
        self.deleted = []

    async def put_watch(self, namespace, name, watch):
        if self.refusal:
            raise Rejected("Refused", self.refusal)
        self.watches[namespace, name] = watch
        return self.report

    async def delete_watch(self, namespace, name):
        self.deleted.append((namespace, name))


def ports(*objects, report=None):
    clock = SimpleNamespace(now=lambda: NOON)
    return SimpleNamespace(cluster=FakeCluster(*objects), monitor=Service(report), clock=clock)


def an_object(kind, spec, status=None):
    return {
        "apiVersion": "modelyard.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": "rain", "namespace": "demo"},
        "spec": spec,
        "status": status or {},
    }


def a_deployment(**status):
    stable = {"revision": V1.revision, "version": 1, "digest": V1.digest}
    return an_object(
        "ModelDeployment", {"model": {"training": "rain"}}, {"stable": stable} | status
    )


def a_training(*requests):
    return an_object("ModelTraining", {}, {"requests": list(requests)})


def a_request(token, source="Drift", **fields):
    at = "2026-01-01T11:00:00Z"
    return {"token": token, "source": source, "at": at, "outcome": "Running"} | fields


async def test_the_stable_revision_is_watched():
    world = ports(a_deployment(), a_training(), report=a_report())

    seen = await observe(a_monitor(features={"exclude": ["b", "a"]}), world)

    watch = world.monitor.watches["demo", "rain"]
    assert watch.targets == (Target(V1.revision, f"{V1.revision}.demo.svc"),)
    assert (watch.reference_digest, watch.reference_version) == (V1.digest, 1)
    assert watch.windows_seconds == (60,)
    assert (watch.budget, watch.budget_seconds, watch.min_rows) == (0.5, 30 * 86_400, 200)
    assert (watch.confirm.confirm_windows, watch.confirm.confirm_of) == (2, 3)
    assert watch.exclude == ("a", "b")
    assert (watch.uid, watch.episode_floor) == ("uid-1", 0)
    assert seen.report == a_report()
    assert seen.served == V1
    assert seen.has_training


async def test_a_refusal_is_read_and_stops_nothing():
    world = ports(a_deployment(), a_training())
    world.monitor.refusal = "there are 1000 watches already"

    seen = await observe(a_monitor(), world)

    assert (seen.report, seen.refusal) == (None, "there are 1000 watches already")


async def test_windows_are_sorted_and_each_one_counts_once():
    world = ports(a_deployment(), a_training())

    await observe(a_monitor(windows=["1h", "5m", "60m"]), world)

    assert world.monitor.watches["demo", "rain"].windows_seconds == (300, 3_600)


@pytest.mark.parametrize("objects", [(), (a_deployment(stable=None),)])
async def test_nothing_is_watched_where_nothing_serves(objects):
    world = ports(*objects)

    seen = await observe(a_monitor(), world)

    assert world.monitor.watches == {}
    assert seen.report is None
    assert seen.served is None


async def test_answers_and_the_last_attempt_are_read():
    attempt = {"version": 2, "outcome": "Aborted", "finishedAt": "2026-01-01T11:30:00Z"}
    world = ports(
        a_deployment(lastAttempt=attempt, rollout={"attempt": 2}),
        a_training(a_request("spec-1", "Spec"), a_request("rain-3", version=2, run="rain-0")),
    )

    seen = await observe(a_monitor(), world)

    assert [answer.token for answer in seen.answers] == ["rain-3"]
    assert seen.answer("rain-3").version == 2
    assert seen.answer("rain-4") is None
    assert seen.deployment.in_rollout
    assert seen.deployment.last_attempt.outcome == "Aborted"


async def test_episodes_go_on_where_anybody_remembers_them():
    world = ports(
        a_deployment(),
        a_training(a_request("rain-4"), a_request("rain-6.2"), a_request("rainy-9")),
    )
    status = {"episode": {"number": 5, "state": "Stable", "since": "2026-01-01T11:00:00Z"}}

    await observe(a_monitor(status), world)

    assert world.monitor.watches["demo", "rain"].episode_floor == 6


async def test_the_last_retraining_is_remembered_where_its_answer_has_gone():
    world = ports(a_deployment(), a_training())
    moment = "2026-01-01T11:00:00Z"
    last = {"id": "rain-9", "episode": 9, "outcome": "Promoted"}
    last |= dict.fromkeys(("requestedAt", "finishedAt", "cooldownUntil"), moment)

    await observe(a_monitor({"lastRetrain": last}), world)

    assert world.monitor.watches["demo", "rain"].episode_floor == 9


async def test_without_retrain_no_training_is_read():
    world = ports(a_deployment())

    seen = await observe(a_monitor(retrain=None), world)

    assert not seen.has_training
    assert world.monitor.watches["demo", "rain"].confirm.confirm_of == 3


async def test_a_monitor_that_has_gone_is_watched_no_more():
    world = ports()

    await forget(Key("DriftMonitor", "demo", "rain"), world)

    assert world.monitor.deleted == [("demo", "rain")]


def test_whose_changes_matter():
    obj = an_object("DriftMonitor", {"deployment": "rain", "retrain": RETRAIN})

    assert list(controller.reads(obj)) == [
        Key("ModelDeployment", "demo", "rain"),
        Key("ModelTraining", "demo", "rain"),
    ]
    assert list(controller.touches(obj)) == [Key("ModelTraining", "demo", "rain")]
    del obj["spec"]["retrain"]
    assert list(controller.touches(obj)) == []
    assert list(controller.reads(obj)) == [Key("ModelDeployment", "demo", "rain")]
