"""Whole runs through the real shell on a cluster in memory: from a wish to a version."""

import base64
from datetime import timedelta

import pytest

from modelyard_core.runs import RunError, Verdict
from support.training_world import NOON, PVC_DATA, World, a_spec, blessed

HOUR = timedelta(hours=1)


async def test_a_new_training_becomes_a_blessed_version():
    world = World()
    await world.settle()
    assert world.status["phase"] == "Running"
    assert world.condition("Succeeded")["status"] == "Unknown"

    world.succeed(auc=0.8312)
    await world.settle()

    (version,) = world.versions
    assert version["metadata"]["name"] == "rain-v1"
    assert "ownerReferences" not in version["metadata"]
    assert version["spec"]["metrics"] == {"accuracy": "0.75", "roc_auc": "0.8312"}
    assert version["status"]["phase"] == "Candidate"
    assert world.status["champion"] == {"version": 1, "digest": version["spec"]["digest"]}
    assert world.status["latest"] == {
        "version": 1,
        "verdict": "Blessed",
        "metric": "roc_auc 0.8312",
    }
    assert world.status["phase"] == "Succeeded"
    assert world.status["summary"] == "Version 1 (roc_auc 0.8312) passed every gate."
    assert world.requests == [("Spec", "Succeeded", "Blessed")]
    assert world.condition("Succeeded")["status"] == "True"
    assert world.condition("Stalled")["status"] == "False"
    assert "run" not in world.status


async def test_the_run_is_known_before_anything_is_made_for_it():
    world = World()

    await world.reconcile()

    assert world.jobs == []
    assert world.status["run"]["trigger"] == "Spec"
    assert world.status["run"]["startedAt"] == "2026-03-01T12:00:00Z"


async def test_idle_means_no_writes():
    world = await blessed()
    writes = list(world.api.writes)

    world.advance(timedelta(days=2))
    await world.reconcile()
    await world.reconcile()

    assert world.api.writes == writes


async def test_a_rejected_model_is_a_successful_run_and_the_champion_stays():
    world = await blessed()
    world.edit(pipeline={"estimator": "RandomForest"})
    await world.settle()
    world.succeed(Verdict.REJECTED, auc=0.6, sentence="roc_auc 0.6 is below the minimum of 0.7")
    await world.settle()

    assert world.status["champion"]["version"] == 1
    assert world.status["latest"]["verdict"] == "Rejected"
    assert world.condition("Succeeded")["status"] == "True"
    assert world.condition("Stalled")["status"] == "False"
    assert "roc_auc 0.6 is below the minimum of 0.7" in world.condition("Succeeded")["message"]
    assert world.versions[1]["status"]["phase"] == "Rejected"
    assert world.versions[1]["spec"]["parent"] == 1


async def test_a_corrected_spec_runs_at_once():
    world = World()
    await world.settle()
    world.fail(11, RunError("ColumnMissing", "no column"))
    await world.settle()

    world.edit(features=[{"name": "pressure", "type": "Float"}])
    await world.settle()

    assert world.status["phase"] == "Running"
    assert len(world.jobs) == 2


async def test_a_job_that_vanished_is_made_again_and_trains_nothing_twice():
    world = World()
    await world.settle()
    world.succeed()
    world.lose_job()

    await world.settle()
    world.succeed()
    await world.settle()

    assert world.trained == 1
    assert [v["metadata"]["name"] for v in world.versions] == ["rain-v1"]
    assert world.status["phase"] == "Succeeded"


async def test_numbers_are_never_given_twice():
    world = await blessed()
    world.edit(target="snow")
    await world.settle()
    world.succeed()
    await world.settle()
    del world.api.objects["ModelVersion", "shop", "rain-v2"]
    await world.settle()

    world.edit(target="hail")
    await world.settle()
    world.succeed()
    await world.settle()

    assert [v["spec"]["version"] for v in world.versions] == [1, 3]


async def test_a_training_made_anew_goes_on_counting():
    world = await blessed()
    spec = a_spec(target="snow")
    world.api.put(world.training | {"status": {"observedGeneration": -1}, "spec": spec})
    await world.settle()
    world.succeed()
    await world.settle()

    assert [v["spec"]["version"] for v in world.versions] == [1, 2]


async def test_a_lost_status_trains_nothing_again():
    world = await blessed()
    world.api.put(world.training | {"status": {"observedGeneration": -1}})

    await world.settle()

    assert world.trained == 1
    assert world.requests == [("Spec", "Suppressed", "AlreadyTrained")]
    assert world.status["champion"]["version"] == 1


async def test_an_edit_during_a_run_waits_for_its_end():
    world = World()
    await world.settle()
    first = world.status["run"]["name"]
    world.start_pod()
    world.edit(target="snow")
    await world.settle()
    assert world.status["run"]["name"] == first
    assert world.requests[-1] == ("Spec", "Pending", "RunInFlight")

    world.succeed()
    await world.settle()

    assert world.status["run"]["name"] != first
    assert world.request["target"] == "snow"
    assert [v["spec"]["version"] for v in world.versions] == [1]


async def test_gates_are_not_a_reason_to_train():
    world = await blessed()

    world.edit(gates={"metrics": [{"name": "roc_auc", "min": "0.9"}]})
    await world.settle()

    assert len(world.jobs) == 1
    assert world.status["observedGeneration"] == 2


async def test_suspended_waits_and_resumes():
    world = World(suspend=True)
    await world.settle()
    assert world.status["phase"] == "Suspended"
    assert world.requests == [("Spec", "Pending", "Suspended")]

    world.edit(suspend=False)
    await world.settle()

    assert world.status["phase"] == "Running"


async def test_absent_data_is_waited_for():
    world = World()
    world.delete_data()
    assert await world.settle() == timedelta(seconds=15)
    assert world.condition("Succeeded")["reason"] == "DataNotFound"
    assert "ConfigMap weather does not exist" in world.status["summary"]

    world.write_data("rain,dew\n0,1\n")
    await world.settle()

    assert world.status["phase"] == "Running"


async def test_a_wrong_key_of_the_config_map_is_named():
    world = World(data={"train": {"configMap": {"name": "weather", "path": "other.csv"}}})

    await world.settle()

    assert "has no key other.csv" in world.status["summary"]


async def test_a_queued_job_is_no_failure_however_long_it_waits():
    world = World()
    await world.settle()
    job = world.job
    job["spec"]["suspend"] = True
    world.api.put(job)
    world.advance(timedelta(days=1))

    await world.settle()

    assert world.condition("Succeeded")["reason"] == "RunQueued"


async def test_the_jobs_of_the_last_three_runs_stay():
    world = World()
    for number in range(5):
        world.edit(target=f"rain{number}")
        await world.settle()
        world.succeed()
        world.advance(timedelta(minutes=5))
        await world.settle()

    assert len(world.jobs) == 3
    names = {job["metadata"]["name"] for job in world.jobs}
    configs = {name for kind, _, name in world.api.objects if kind == "ConfigMap"}
    assert configs == names | {"weather"}
    assert [v["spec"]["version"] for v in world.versions] == [1, 2, 3, 4, 5]


async def test_on_spec_change_false_waits_for_a_word():
    world = World(triggers={"onSpecChange": False})
    await world.settle()
    assert world.condition("Succeeded")["reason"] == "WaitingForTrigger"

    world.annotate("now")
    await world.settle()

    assert world.status["run"]["trigger"] == "Manual"


async def test_an_old_annotation_on_a_new_object_starts_one_run_only():
    world = World(data=PVC_DATA)
    world.annotate("from-the-old-cluster")
    await world.settle()
    world.succeed()
    world.advance(HOUR)
    await world.settle()

    assert world.requests == [("Spec", "Succeeded", "Blessed")]


async def test_a_foreign_job_under_our_name_is_left_alone():
    world = World()
    await world.reconcile()
    name = world.status["run"]["name"]
    owner = {"kind": "ReplicaSet", "name": "other", "uid": "z", "controller": True}
    foreign = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": "shop", "ownerReferences": [owner]},
    }
    world.api.put(foreign)

    await world.reconcile()

    assert world.condition("Stalled")["reason"] == "Conflict"
    assert world.api.objects["Job", "shop", name]["metadata"]["ownerReferences"] == [owner]


async def test_versions_follow_what_serves():
    world = await blessed()
    world.serve(world.versions[0])
    await world.settle()
    assert world.versions[0]["status"]["phase"] == "Serving"
    assert world.versions[0]["status"]["firstServedAt"] == "2026-03-01T12:00:00Z"

    world.edit(target="snow")
    await world.settle()
    world.succeed()
    await world.settle()
    assert world.status["champion"]["version"] == 1

    world.serve(world.versions[1])
    await world.settle()
    await world.settle()

    assert [v["status"]["phase"] for v in world.versions] == ["Retired", "Serving"]
    assert world.status["champion"]["version"] == 2


async def test_the_champion_is_named_to_the_run_that_challenges_it():
    world = await blessed()
    world.edit(target="snow")
    await world.settle()

    champion = world.request["champion"]

    assert champion["version"] == 1
    assert champion["digest"] == world.versions[0]["spec"]["digest"]
    assert NOON.isoformat() in world.status["run"]["startedAt"].replace("Z", "+00:00")


async def test_a_status_that_does_not_decode_is_derived_again():
    world = await blessed()
    world.api.put(world.training | {"status": world.status | {"run": "what?"}})

    await world.settle()

    assert world.status["champion"]["version"] == 1
    assert world.trained == 1


@pytest.mark.parametrize("lost", ["rain-old", None])
async def test_children_that_are_still_being_deleted_are_waited_for(lost):
    world = World()
    await world.settle()
    job = world.job
    job["metadata"]["deletionTimestamp"] = "2026-03-01T12:00:00Z"
    if lost:
        job["metadata"]["annotations"]["modelyard.dev/request"] = lost
        reason = "RunReplacing"
    else:
        job["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
        reason = "ResultLost"
    world.api.put(job)

    wait = await world.settle()

    assert wait == timedelta(seconds=5)
    assert world.condition("Succeeded")["reason"] == reason
    assert ("delete", "Job", job["metadata"]["name"]) not in world.api.writes


async def test_compressed_data_is_part_of_the_key():
    path = {"train": {"configMap": {"name": "weather", "path": "train.csv.gz"}}}
    names = set()
    for content in (b"one", b"two"):
        world = World(data=path)
        obj = world.api.objects["ConfigMap", "shop", "weather"]
        binary = {"train.csv.gz": base64.b64encode(content).decode()}
        world.api.put(obj | {"binaryData": binary})
        await world.settle()
        names.add(world.status["run"]["name"])

    assert len(names) == 2
