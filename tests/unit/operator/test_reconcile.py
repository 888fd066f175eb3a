from datetime import timedelta

import pytest

from modelyard_core.errors import Unavailable
from modelyard_operator import naming
from modelyard_operator.actions import Create, Decision, Delete, Emit, Poke
from modelyard_operator.api import resources
from modelyard_operator.api.conditions import Condition, find
from modelyard_operator.kind import Key
from modelyard_operator.ports import ApiError, Images, Ports
from modelyard_operator.reconcile import Result, Shell
from modelyard_operator.recorder import MAX_NOTES, Recorder
from support import toy
from support.fake_cluster import FakeCluster
from support.loop import VirtualTime

RAIN = Key("DriftMonitor", "shop", "rain")


class World:
    """A shell over a cluster in memory."""

    def __init__(self, *objects, kind=toy.TOY):
        self.time = VirtualTime()
        self.cluster = FakeCluster(*objects)
        ports = Ports(self.cluster, None, None, None, self.time, Images("t", "s", "r"))
        recorder = Recorder(self.cluster, self.time, "pod")
        self.shell = Shell({"DriftMonitor": kind}, ports, self.cluster, recorder)

    async def reconcile(self):
        return await self.shell.reconcile(RAIN)

    def status(self):
        return self.cluster.objects["DriftMonitor", "shop", "rain"]["status"]

    def condition(self, type_):
        return find([Condition.model_validate(c) for c in self.status()["conditions"]], type_)

    def child(self):
        return self.cluster.objects.get(("ConfigMap", "shop", "rain"))


def doing(*actions, requeue_after=None):
    return toy.deciding(lambda t, _: Decision(actions, {"phase": "Made"}, requeue_after))


async def test_a_pass_writes_the_child_and_then_the_status():
    world = World(toy.a_toy())

    outcome = await world.reconcile()

    assert outcome.result is Result.SUCCESS
    assert [verb for verb, *_ in world.cluster.writes] == ["apply", "apply_status"]
    assert world.child()["data"] == {"size": "1"}


async def test_a_second_pass_writes_nothing():
    world = World(toy.a_toy())
    await world.reconcile()
    world.cluster.writes.clear()
    world.time.pass_by(3600)

    await world.reconcile()

    assert world.cluster.writes == []


async def test_a_field_that_somebody_changed_is_put_back():
    world = World(toy.a_toy())
    await world.reconcile()
    world.child()["data"]["size"] = "99"

    await world.reconcile()

    assert world.child()["data"] == {"size": "1"}


async def test_what_others_add_to_a_child_is_left_alone():
    world = World(toy.a_toy())
    await world.reconcile()
    world.child()["metadata"]["annotations"]["somebody"] = "else"
    world.cluster.writes.clear()

    await world.reconcile()

    assert world.cluster.writes == []


async def test_a_label_that_was_removed_is_restored():
    world = World(toy.a_toy())
    await world.reconcile()
    del world.child()["metadata"]["labels"][naming.COMPONENT_LABEL]

    await world.reconcile()

    assert world.child()["metadata"]["labels"][naming.COMPONENT_LABEL] == "toy"


async def test_an_owner_reference_that_was_removed_is_restored():
    world = World(toy.a_toy())
    await world.reconcile()
    del world.child()["metadata"]["ownerReferences"]

    await world.reconcile()

    assert world.child()["metadata"]["ownerReferences"][0]["uid"] == "uid-toy"


async def test_an_object_that_is_gone_needs_nothing():
    world = World()

    assert (await world.reconcile()).result is Result.GONE


async def test_nothing_is_created_for_an_object_that_is_being_deleted():
    world = World(toy.a_toy(metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}))

    assert (await world.reconcile()).result is Result.GONE
    assert world.cluster.writes == []


async def test_a_spec_that_does_not_decode_becomes_a_condition():
    world = World(toy.a_toy(spec={"size": -1}))

    outcome = await world.reconcile()

    assert outcome.result is Result.INVALID
    stalled = world.condition("Stalled")
    assert (stalled.status, stalled.reason) == ("True", "InvalidSpec")
    assert stalled.message == "spec.size: Input should be greater than or equal to 0."
    assert world.condition("Ready").status == "False"
    assert world.status()["observedGeneration"] == 1


async def test_an_invalid_spec_is_told_once():
    world = World(toy.a_toy(spec={"size": -1}))
    await world.reconcile()
    world.cluster.writes.clear()
    world.time.pass_by(600)

    await world.reconcile()

    assert world.cluster.writes == []


async def test_a_status_that_does_not_decode_is_derived_again():
    world = World(toy.a_toy(status={"observedGeneration": "x", "conditions": "y"}))

    assert (await world.reconcile()).result is Result.SUCCESS
    assert world.status()["phase"] == "Made"


async def test_a_foreign_object_under_the_name_of_a_child_is_a_conflict_and_stays_untouched():
    foreign = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "rain", "namespace": "shop"},
        "data": {"theirs": "yes"},
    }
    world = World(toy.a_toy(), foreign)

    outcome = await world.reconcile()

    assert outcome.result is Result.BLOCKED
    assert world.child()["data"] == {"theirs": "yes"}
    stalled = world.condition("Stalled")
    assert stalled.reason == "Conflict"
    assert stalled.message == "ConfigMap rain exists and is not managed by Modelyard."


async def test_a_child_of_another_object_is_a_conflict():
    other = {"apiVersion": "v1", "kind": "Shop", "name": "x", "uid": "u", "controller": True}
    taken = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "rain", "namespace": "shop", "ownerReferences": [other]},
    }
    world = World(toy.a_toy(), taken)

    await world.reconcile()

    assert world.condition("Stalled").message == "ConfigMap rain belongs to Shop x."


async def test_a_child_of_an_earlier_object_of_the_same_name_is_waited_for():
    world = World(toy.a_toy())
    await world.reconcile()
    world.cluster.put(toy.a_toy(metadata={"uid": "uid-new"}))

    with pytest.raises(Unavailable, match="of an earlier DriftMonitor is still being removed"):
        await world.reconcile()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        pytest.param(
            ApiError(403, "Forbidden", "exceeded quota: cm=1"), "Denied", id="quota"
        ),
        pytest.param(
            ApiError(422, "Invalid", "data: Too long"), "Denied", id="invalid"
        ),
        pytest.param(
            ApiError(
                403,
                "Forbidden",
                "being terminated",
                causes=frozenset({"NamespaceTerminating"}),
            ),
            "NamespaceTerminating",
            id="namespace-terminating",
        ),
    ],
)  # fmt: skip
async def test_a_refused_child_is_told_in_the_words_of_the_server(error, reason):
    world = World(toy.a_toy())
    world.cluster.refusals["apply"] = error

    outcome = await world.reconcile()

    assert outcome.result is Result.BLOCKED
    stalled = world.condition("Stalled")
    assert (stalled.reason, stalled.message) == (reason, error.message)


async def test_a_refusal_that_lasts_is_written_once():
    world = World(toy.a_toy())
    world.cluster.refusals["apply"] = ApiError(403, "Forbidden", "exceeded quota")
    await world.reconcile()
    world.cluster.writes.clear()
    world.time.pass_by(30)

    await world.reconcile()

    assert [verb for verb, *_ in world.cluster.writes] == ["apply"]


async def test_the_condition_goes_when_the_child_is_allowed():
    world = World(toy.a_toy())
    world.cluster.refusals["apply"] = ApiError(403, "Forbidden", "exceeded quota")
    await world.reconcile()
    world.cluster.refusals.clear()

    await world.reconcile()

    assert world.condition("Stalled").status == "False"


async def test_an_api_server_that_is_away_repeats_the_pass():
    world = World(toy.a_toy())
    world.cluster.refusals["apply"] = ApiError(503, "ServiceUnavailable", "down")

    with pytest.raises(ApiError):
        await world.reconcile()


async def test_a_status_that_somebody_wrote_meanwhile_is_not_overwritten():
    def racing(model, now):
        world.cluster.put(toy.a_toy(status={"phase": "Theirs"}))
        return toy.decide(model, now)

    world = World(toy.a_toy(), kind=toy.deciding(racing))

    with pytest.raises(ApiError, match="modified"):
        await world.reconcile()
    assert world.status()["phase"] == "Theirs"


async def test_actions_stop_at_the_first_failure():
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "a", "namespace": "shop"}}
    gone = Delete(resources.CONFIG_MAP, "shop", "old", "uid-1")
    old = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "old", "namespace": "shop", "uid": "uid-1"},
    }
    world = World(toy.a_toy(), old, kind=doing(Create(job), gone))
    world.cluster.refusals["create"] = ApiError(403, "Forbidden", "no")

    await world.reconcile()

    assert ("ConfigMap", "shop", "old") in world.cluster.objects


async def test_creating_twice_is_one_child():
    owner = {"apiVersion": "m/v1", "kind": "M", "name": "rain", "uid": "u", "controller": True}
    metadata = {"name": "a", "namespace": "shop", "ownerReferences": [owner]}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata}
    world = World(toy.a_toy(), kind=doing(Create(job)))

    results = [(await world.reconcile()).result for _ in range(2)]

    assert results == [Result.SUCCESS, Result.SUCCESS]


@pytest.mark.parametrize(
    ("digest", "result"),
    [
        pytest.param("sha256:1", Result.SUCCESS, id="the-same-spec"),
        pytest.param("sha256:2", Result.BLOCKED, id="another-spec"),
    ],
)
async def test_an_object_without_owner_must_say_the_same(digest, result):
    version = {
        "apiVersion": resources.MODEL_VERSION.api_version,
        "kind": "ModelVersion",
        "metadata": {"name": "rain-v1", "namespace": "shop"},
    }
    world = World(
        toy.a_toy(),
        version | {"spec": {"digest": "sha256:1"}},
        kind=doing(Create(version | {"spec": {"digest": digest}})),
    )

    assert (await world.reconcile()).result is result


async def test_poking_a_pod_that_is_gone_is_no_failure():
    world = World(toy.a_toy(), kind=doing(Poke("shop", ("rain-router-1",), "7")))

    assert (await world.reconcile()).result is Result.SUCCESS


async def test_an_event_that_is_lost_is_no_failure():
    world = World(toy.a_toy(), kind=doing(Emit("Normal", "Promoted", "v2 serves")))
    world.cluster.refusals["create"] = ApiError(403, "Forbidden", "no events")

    assert (await world.reconcile()).result is Result.SUCCESS


async def test_an_event_is_told_once_however_often_it_is_asked_for():
    world = World(toy.a_toy(), kind=doing(Emit("Normal", "Promoted", "v2 serves")))
    for _ in range(5):
        await world.reconcile()

    events = [obj for (kind, *_), obj in world.cluster.objects.items() if kind == "Event"]
    assert [event["note"] for event in events] == ["v2 serves"]


async def test_the_steps_of_one_reason_are_all_told_but_a_flood_is_not():
    notes = tuple(f"step {number} of 100" for number in range(100))
    emits = tuple(Emit("Normal", "StepEntered", note) for note in notes)
    world = World(toy.a_toy(), kind=doing(*emits))

    await world.reconcile()

    events = [obj for (kind, *_), obj in world.cluster.objects.items() if kind == "Event"]
    assert [event["note"] for event in events] == list(notes[:MAX_NOTES])


async def test_an_event_of_a_replica_that_took_over_finds_its_predecessors():
    world = World(toy.a_toy(), kind=doing(Emit("Normal", "Promoted", "v2 serves")))
    await world.reconcile()
    successor = World(kind=doing(Emit("Normal", "Promoted", "v2 serves")))
    successor.cluster.objects = world.cluster.objects

    await successor.reconcile()

    assert sum(kind == "Event" for kind, *_ in world.cluster.objects) == 1


async def test_the_decision_says_when_to_look_again():
    world = World(toy.a_toy(), kind=doing(requeue_after=timedelta(seconds=5)))

    assert (await world.reconcile()).requeue_after == timedelta(seconds=5)
