"""Whole rollouts in a small world: what clients see, what people are told."""

import pytest

from support.rollout_scenes import analysis, ended, ramping, rollout, serving
from support.rollout_world import LADDER, QUICK, World


def test_the_first_revision_serves_as_soon_as_its_pods_are_ready():
    world = World()
    world.run(5)

    assert (world.phase, world.stable) == ("Idle", 1)
    assert world.last["start"] == "Initial"
    assert world.last["reason"] == "FirstRevision"


def test_a_good_version_is_promoted_without_a_failed_request():
    world = serving()
    world.add_version(2)

    world.run(300, until=ended)

    assert (world.phase, world.stable) == ("Idle", 2)
    assert world.last["outcome"] == "Promoted"
    assert world.last["analysis"][0]["decision"] == "Passing"
    assert world.failed == 0
    assert sum(world.errors.values()) == 0


def test_promotion_restarts_nothing_and_the_old_pods_go_after_the_drain():
    world = ramping(3)
    created = world.objects["Deployment", world.rollout["revision"]]["metadata"]["uid"]
    old = world.status["stable"]["revision"]

    world.run(300, until=lambda w: w.stable == 2)
    assert ("Deployment", old) in world.objects
    world.run(60)

    assert (
        world.objects["Deployment", world.status["stable"]["revision"]]["metadata"]["uid"]
        == created
    )
    assert ("Deployment", old) not in world.objects
    assert ("Service", old) not in world.objects


@pytest.mark.parametrize("index", [0, 1, 2, 3])
def test_a_candidate_that_turns_bad_is_turned_back_in_every_step(index):
    world = ramping(index)
    world.behaviours[2].failing = 1.0

    world.run(60, until=ended)

    assert (world.phase, world.stable) == ("Aborted", 1)
    assert world.last["reason"] in ("CandidateFailing", "AnalysisFailed")


def test_a_candidate_that_answers_only_errors_never_reaches_a_client():
    world = serving()
    world.add_version(2, failing=1.0)

    world.run(120)

    assert (world.phase, world.stable) == ("Aborted", 1)
    assert sum(world.errors.values()) == 0
    assert world.condition("Stalled")["status"] == "True"
    assert world.condition("Available")["status"] == "True"


def test_without_a_mirror_its_harm_ends_within_seconds():
    world = serving(**rollout(steps=[{"weight": 5}]))
    world.add_version(2, failing=1.0)

    world.run(120)

    assert world.phase == "Aborted"
    assert sum(world.errors.values()) <= 200 * 0.05 * 4
    assert world.failed == 0


@pytest.mark.parametrize("behaviour", [{"failing": 0.2}, {"hanging": 0.2}], ids=str)
def test_a_partly_bad_candidate_is_turned_back(behaviour):
    world = serving()
    world.add_version(2, **behaviour)

    world.run(300, until=ended)

    assert (world.phase, world.last["reason"]) == ("Aborted", "AnalysisFailed")


def test_a_slow_candidate_is_turned_back_where_latency_is_checked():
    checks = [{"type": "Errors"}, {"type": "Latency", "threshold": "50ms"}]
    world = serving(**analysis(checks=checks))
    world.add_version(2, slow=0.3)

    world.run(300, until=ended)

    assert world.phase == "Aborted"
    assert "latency-50ms" in world.last["message"]


def test_a_candidate_that_never_gets_ready_is_turned_back_at_the_deadline():
    world = serving(**rollout(progressDeadline="60s"))
    world.add_version(2, becomes_ready=False)

    world.run(90)

    assert (world.phase, world.last["reason"]) == ("Aborted", "ProgressDeadlineExceeded")
    assert "CrashLoopBackOff" in world.last["message"]
    assert world.failed == 0


def test_a_first_revision_that_is_late_goes_on_waiting():
    world = World(**rollout(progressDeadline="60s"))
    world.behaviours[1].becomes_ready = False
    world.run(90)
    assert world.condition("Stalled")["reason"] == "ProgressDeadlineExceeded"

    world.behaviours[1].becomes_ready = True
    world.run(20)

    assert (world.phase, world.stable) == ("Idle", 1)


@pytest.mark.parametrize("steps", [list(LADDER), [{"weight": 50}]], ids=["ladder", "one-step"])
def test_a_candidate_without_traffic_is_never_promoted(steps):
    world = serving(**rollout(steps=steps, analysis=QUICK | {"maxStepDuration": "10m"}))
    world.add_version(2)

    world.run(1200, rate=0)

    assert world.stable == 1
    assert world.phase == "Paused"
    assert world.rollout["pause"]["reason"] == "InsufficientData"
    assert "no request" in world.events[-1].note or "undecided" in world.status["summary"]


def test_it_goes_on_by_itself_when_the_data_comes():
    world = serving(**analysis(maxStepDuration="1m"))
    world.add_version(2)
    world.run(120, rate=0)
    assert world.phase == "Paused"

    world.run(300, until=ended)

    assert (world.phase, world.stable) == ("Idle", 2)


def test_insufficient_data_can_turn_it_back():
    world = serving(**analysis(maxStepDuration="1m", onInsufficientData="Abort"))
    world.add_version(2)

    world.run(120, rate=0)

    assert (world.phase, world.last["reason"]) == ("Aborted", "InsufficientData")


def test_silence_writes_no_status():
    world = serving(**analysis(maxStepDuration="6h"))
    world.add_version(2)
    world.run(30, rate=0)
    before = world.status_writes

    world.run(600, rate=0)

    assert world.status_writes == before


def test_idle_writes_nothing():
    world = serving()
    world.run(60)
    before = world.writes

    world.run(1800)

    assert world.writes == before


def test_status_is_written_at_most_once_a_tick():
    world = ramping(1, spec=analysis(minRequests=10_000, checks=[{"type": "Errors"}]))
    before = world.status_writes

    world.run(100)

    assert world.status_writes - before <= 22


@pytest.mark.parametrize("index", [0, 1, 3])
def test_a_newer_version_supersedes_and_starts_at_step_0_against_stable(index):
    world = ramping(index)
    world.add_version(3)

    world.run(20, until=lambda w: w.rollout.get("version") == 3)

    assert world.last["outcome"] == "Superseded"
    assert world.stable == 1
    world.run(300, until=ended)
    assert (world.stable, world.failed) == (3, 0)


def test_a_spec_that_asks_for_stable_again_rolls_back():
    world = ramping(2)

    world.edit(model={"training": "rain", "version": 1})
    world.run(60)

    assert (world.phase, world.stable) == ("Idle", 1)
    assert world.last["outcome"] == "RolledBack"
    assert world.condition("Stalled")["status"] == "False"


def test_a_revision_that_was_stable_goes_back_without_steps():
    world = serving()
    world.add_version(2)
    world.run(300, until=lambda w: w.stable == 2)

    world.edit(model={"training": "rain", "version": 1})
    world.run(30, until=lambda w: w.stable == 1)

    assert world.stable == 1
    assert world.last["start"] == "Rollback"
    assert world.failed == 0


def test_an_aborted_revision_never_comes_back_by_itself():
    world = serving()
    world.add_version(2, failing=1.0)
    world.run(120)
    world.behaviours[2].failing = 0.0
    writes = world.writes

    world.edit(replicas=2)
    world.run(300)

    assert (world.phase, world.stable) == ("Aborted", 1)
    assert world.writes <= writes + 1


def test_a_new_version_leaves_aborted():
    world = serving()
    world.add_version(2, failing=1.0)
    world.run(120)

    world.add_version(3)
    world.run(300, until=ended)

    assert (world.phase, world.stable) == ("Idle", 3)


def test_a_candidate_that_loses_its_pods_gets_no_weight_and_comes_back():
    world = ramping(3)
    candidate = world.rollout["revision"]
    world.broken.add(candidate)
    world.run(30)
    assert world.rollout["traffic"]["desired"]["canary"] == 0
    assert world.rollout["step"]["index"] == 3

    world.broken.clear()
    world.run(300, until=ended)

    assert world.stable == 2


def test_a_candidate_that_loses_its_pods_for_good_is_turned_back():
    world = ramping(3, spec=rollout(progressDeadline="60s"))
    world.broken.add(world.rollout["revision"])

    world.run(120)

    assert (world.phase, world.last["reason"]) == ("Aborted", "CandidateNotReady")


def test_nothing_goes_back_to_a_stable_without_pods():
    world = ramping(3)
    world.broken.add(world.status["stable"]["revision"])
    world.act(f"abort@{world.rollout['attempt']}")

    world.run(30)

    assert world.phase == "Aborting"
    assert world.rollout["traffic"]["desired"]["canary"] == 500
    assert world.condition("Stalled")["reason"] == "StableNotReady"
    world.broken.clear()
    world.run(30)
    assert world.last["outcome"] == "Aborted"


def test_a_router_that_does_not_confirm_holds_the_step():
    world = serving(**rollout(progressDeadline="2m"))
    world.routers[1].applies = False
    world.add_version(2)
    world.run(60)
    assert world.condition("Ready")["reason"] == "ApplyingTraffic"
    assert world.rollout["traffic"]["applied"]["routers"] == "1/2"

    world.run(120)

    assert world.rollout["reason"] == "TrafficNotApplied"
    world.routers[1].applies = True
    world.run(30)
    assert world.phase == "Aborted"


def test_replicas_apply_without_an_attempt():
    world = serving()
    world.edit(replicas=4)

    world.run(5)

    stable = world.status["stable"]["revision"]
    assert world.objects["Deployment", stable]["spec"]["replicas"] == 4
    assert world.status["attempt"] == 1
    assert world.status["ready"] == "4/4"


def test_an_operator_upgrade_rolls_no_pod():
    world = serving()
    before = {key: obj for key, obj in world.objects.items() if key[1] != "rain-router"}
    world.images = type(world.images)("training:2", "serving:2", "router:2")

    world.run(60)
    assert {k: o for k, o in world.objects.items() if k[1] != "rain-router"} == before
    router = world.objects["Deployment", "rain-router"]["spec"]["template"]["spec"]
    assert router["containers"][0]["image"] == "router:2"
    world.add_version(2)
    world.run(300, until=ended)

    revision = world.status["revisions"][0]
    assert (world.stable, revision["image"]) == (2, "serving:2")


def test_a_changed_runtime_earns_its_traffic():
    world = serving()
    world.edit(runtime={"env": [{"name": "OMP_NUM_THREADS", "value": "1"}]})

    world.run(300, until=lambda w: w.status["attempt"] == 2 and ended(w))

    assert world.last["start"] == "Canary"
    assert world.last["outcome"] == "Promoted"


def test_an_edited_strategy_is_for_the_next_attempt():
    world = ramping(1)
    world.edit(**rollout(steps=[{"weight": 99}]))

    world.run(2)

    assert len(world.rollout["strategy"]["steps"]) == 4


def test_a_deleted_deployment_of_stable_is_made_again_as_it_was():
    world = serving()
    stable = world.status["stable"]["revision"]
    before = world.objects.pop(("Deployment", stable))

    world.run(5)

    assert world.objects["Deployment", stable]["spec"] == before["spec"]


def test_a_lost_status_is_made_anew_without_a_failed_request():
    world = serving()
    world.add_version(2)
    world.run(300, until=lambda w: w.stable == 2)
    world.status = {}

    world.run(90)

    assert (world.phase, world.stable, world.failed) == ("Idle", 2, 0)


def test_a_restarted_router_is_counted_on():
    world = ramping(2)
    world.routers[0].is_leaving = True
    world.scale_routers(3)
    world.run(8)
    world.routers.pop(0)

    world.run(300, until=ended)

    assert (world.stable, world.failed) == (2, 0)


def test_a_candidate_that_fails_while_it_takes_all_traffic_is_turned_back():
    world = ramping(0, spec=rollout(steps=[{"mirror": 100}]))
    world.routers[1].applies = False
    world.run(60, until=lambda w: w.phase == "Promoting")
    world.behaviours[2].failing = 1.0

    world.run(20)
    world.routers[1].applies = True
    world.run(20)

    assert (world.phase, world.stable) == ("Aborted", 1)


def test_a_candidate_that_loses_its_pods_while_it_is_promoted_is_turned_back():
    world = ramping(0, spec=rollout(steps=[{"weight": 50}]))
    world.routers[1].applies = False
    world.run(60, until=lambda w: w.phase == "Promoting")
    world.broken.add(world.rollout["revision"])
    world.run(5)

    world.routers[1].applies = True
    world.run(20)

    assert (world.phase, world.last["reason"]) == ("Aborted", "CandidateNotReady")


def test_a_first_revision_that_loses_its_pods_waits_for_them():
    world = World()
    world.routers[0].applies = world.routers[1].applies = False
    world.run(3)
    assert world.phase == "Promoting"
    world.broken.add(world.rollout["revision"])
    world.run(6)
    assert world.phase == "Provisioning"

    world.broken.clear()
    world.routers[0].applies = world.routers[1].applies = True
    world.run(10)

    assert (world.phase, world.stable) == ("Idle", 1)
