"""Runs that fail, get lost or never begin: what is said, and what is tried again."""

from datetime import timedelta

import pytest

from modelyard_core import codec
from modelyard_core.runs import RunError, RunReport, Verdict
from support.training_world import World


@pytest.mark.parametrize(
    ("code", "error", "reason", "words"),
    [
        (10, RunError("BadParameter", "max_iter must be small"), "BadParameter", "max_iter must"),
        (11, RunError("ColumnMissing", "the data has no column 'dew'"), "ColumnMissing", "'dew'"),
        (12, RunError("ParityFailed", "the export differs by 0.2"), "ParityFailed", "differs by"),
        (13, RunError("MemoryGuard", "training uses 990 MiB"), "MemoryGuard", "990 MiB"),
        (11, None, "BadData", "exit code 11"),
        (137, None, "OutOfMemory", "limit of 1Gi"),
        (1, None, "Crashed", "exit code 1"),
    ],
)
async def test_a_failed_run_leaves_one_sentence_and_is_not_repeated(code, error, reason, words):
    world = World()
    await world.settle()
    world.fail(code, error)

    await world.settle()

    assert world.status["phase"] == "Failed"
    assert world.condition("Succeeded")["status"] == "False"
    assert world.condition("Succeeded")["reason"] == reason
    assert words in world.condition("Succeeded")["message"]
    assert world.condition("Stalled")["status"] == "True"
    assert world.requests == [("Spec", "Failed", reason)]
    assert len(world.jobs) == 1
    world.advance(timedelta(days=3))
    await world.settle()
    assert len(world.jobs) == 1


async def test_the_exit_code_is_read_from_the_job_when_the_pod_has_gone():
    world = World()
    await world.settle()
    world.fail(11, RunError("ColumnMissing", "gone with the pod"))
    world.lose_pods()

    await world.settle()

    assert world.condition("Succeeded")["reason"] == "BadData"


async def test_transient_failures_name_the_last_one():
    world = World()
    await world.settle()
    world.fail(20, RunError("StoreUnavailable", "the store does not answer"))
    world.end_job("BackoffLimitExceeded", "Job has reached the specified backoff limit", failed=4)

    await world.settle()

    message = world.condition("Succeeded")["message"]
    assert world.condition("Succeeded")["reason"] == "StoreUnavailable"
    assert "4 attempts" in message
    assert "the store does not answer" in message


async def test_a_deadline_says_how_long_it_was():
    world = World()
    await world.settle()
    world.end_job("DeadlineExceeded", "Job was active longer than specified deadline")

    await world.settle()

    assert world.condition("Succeeded")["reason"] == "DeadlineExceeded"
    assert "2h" in world.condition("Succeeded")["message"]


async def test_the_same_key_runs_again_after_a_failure_when_a_person_asks():
    """The data on a claim was repaired: name and key are new. In a ConfigMap: the same name."""
    world = World()
    await world.settle()
    world.fail(20, RunError("StoreUnavailable", "down"))
    await world.settle()
    first = world.jobs[0]["metadata"]
    world.advance(timedelta(minutes=1))

    world.annotate("again")
    await world.settle()

    (second,) = (job["metadata"] for job in world.jobs)
    assert second["name"] == first["name"]
    assert second["uid"] != first["uid"]
    world.succeed()
    await world.settle()
    assert world.requests[-1] == ("Manual", "Succeeded", "Blessed")


async def test_a_lost_result_is_asked_for_again():
    world = World()
    await world.settle()
    world.succeed()
    world.lose_pods()

    await world.settle()
    assert world.status["run"]["restarts"] == 1
    world.succeed()
    await world.settle()

    assert world.trained == 1
    assert len(world.versions) == 1


async def test_a_result_that_is_lost_for_ever_ends_the_run():
    world = World()
    await world.settle()
    for _ in range(4):
        world.succeed()
        world.lose_pods()
        await world.settle()

    assert world.condition("Succeeded")["reason"] == "ResultLost"


async def test_a_report_of_another_run_is_not_believed():
    world = World()
    await world.settle()
    world.end_pod(0, '{"run": "x", "runKey": "y", "verdict": "Blessed"}', "Completed")
    world.end_job()

    await world.settle()

    assert world.condition("Succeeded")["reason"] == "ReportUnreadable"
    assert world.versions == []


async def test_a_pod_that_cannot_be_scheduled_says_why_and_is_given_up():
    world = World()
    await world.settle()
    scheduled = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/1 nodes are available: insufficient memory.",
    }
    world.start_pod(containerStatuses=[], conditions=[scheduled])
    wait = await world.settle()
    assert "insufficient memory" in world.status["summary"]
    assert world.condition("Succeeded")["reason"] == "RunWaiting"
    assert wait == timedelta(minutes=15)

    world.advance(timedelta(minutes=15))
    await world.settle()

    assert world.condition("Succeeded")["reason"] == "NotStarted"
    assert "insufficient memory" in world.condition("Succeeded")["message"]
    assert world.jobs == []


async def test_an_image_that_cannot_be_pulled_says_why():
    world = World()
    await world.settle()
    waiting = {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}
    world.start_pod(containerStatuses=[{"name": "trainer", "state": {"waiting": waiting}}])

    await world.settle()

    assert "ImagePullBackOff: Back-off pulling image" in world.condition("Succeeded")["message"]


async def test_a_run_that_is_evicted_again_and_again_is_given_up():
    world = World()
    await world.settle()
    for _ in range(12):
        world.lose_pods()
        world.advance(timedelta(minutes=1))
        world.start_pod()
        await world.settle()

    assert world.condition("Succeeded")["reason"] == "DisruptionLoop"


async def test_a_failure_of_the_job_itself_is_quoted():
    world = World()
    await world.settle()
    world.end_job("FailedIndexes", "Something that no pod said")

    await world.settle()

    assert world.condition("Succeeded")["reason"] == "JobFailed"
    assert "Something that no pod said" in world.condition("Succeeded")["message"]


async def test_a_model_without_a_digest_is_no_result():
    world = World()
    await world.settle()
    request = world.request
    report = RunReport(request["run"], request["runKey"], verdict=Verdict.BLESSED)
    world.end_pod(0, codec.dumps(report), "Completed")
    world.end_job()

    await world.settle()

    assert world.condition("Succeeded")["reason"] == "ReportUnreadable"
