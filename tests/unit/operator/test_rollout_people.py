"""What people say to a rollout: pause, go on, try again, stop."""

import pytest

from support.rollout_scenes import ended, ramping, rollout, serving
from support.rollout_world import QUICK


def test_retry_gives_it_another_attempt():
    world = serving()
    world.add_version(2, failing=1.0)
    world.run(120)
    world.behaviours[2].failing = 0.0

    world.act(f"retry@{world.last['attempt']}")
    world.run(300, until=lambda w: w.stable == 2)

    assert world.stable == 2
    assert world.status["attempt"] == 3


def test_a_pause_step_waits_for_a_person_with_the_traffic_of_the_step_before():
    world = ramping(2, spec=rollout(steps=[{"mirror": 100}, {"weight": 25}, {"pause": {}}]))
    world.run(600)

    assert world.phase == "Paused"
    assert world.rollout["traffic"]["desired"]["canary"] == 250
    world.act(f"resume@{world.rollout['attempt']}")
    world.run(60, until=ended)
    assert (world.stable, world.last["outcome"]) == (2, "Promoted")


@pytest.mark.parametrize("reason", ["gate", "user", "data"])
def test_a_paused_candidate_that_turns_bad_is_turned_back(reason):
    steps = [{"weight": 25}, {"pause": {}}] if reason == "gate" else [{"weight": 25}]
    limits = QUICK | {"maxStepDuration": "30s"}
    limits |= {"minRequests": 10_000_000} if reason == "data" else {}
    world = ramping(1 if reason == "gate" else 0, spec=rollout(steps=steps, analysis=limits))
    if reason == "user":
        world.act(f"pause@{world.rollout['attempt']}")
    world.run(40)
    assert world.phase == "Paused"

    world.behaviours[2].failing = 1.0
    world.run(60)

    assert (world.phase, world.stable) == ("Aborted", 1)


def test_a_suspended_rollout_stands_still_and_still_guards():
    world = ramping(2)
    world.edit(suspend=True)
    world.run(300)
    assert world.rollout["step"]["index"] == 2

    world.behaviours[2].failing = 1.0
    world.run(60)

    assert (world.stable, world.last["outcome"]) == (1, "Aborted")


def test_suspended_starts_nothing():
    world = serving(suspend=False)
    world.edit(suspend=True)
    world.add_version(2)

    world.run(60)

    assert (world.phase, world.stable, world.rollout) == ("Suspended", 1, {})


def test_a_person_pauses_and_resumes():
    world = ramping(1)
    world.act(f"pause@{world.rollout['attempt']}")
    world.run(60)
    assert (world.phase, world.rollout["step"]["index"]) == ("Paused", 1)

    world.act(f"resume@{world.rollout['attempt']}")
    world.run(300, until=ended)

    assert world.stable == 2


@pytest.mark.parametrize(
    ("verb", "words"),
    [("pause", "waits at a pause step already"), ("retry", "is under way")],
)
def test_a_pause_step_refuses_what_makes_no_sense(verb, words):
    world = ramping(1, spec=rollout(steps=[{"weight": 5}, {"pause": {}}]))
    world.act(f"{verb}@{world.rollout['attempt']}")

    world.run(2)

    assert words in world.told("ActionRefused")[0]


def test_a_candidate_without_all_its_pods_cannot_be_promoted():
    world = ramping(1)
    world.edit(replicas=3)
    world.broken.add(world.rollout["revision"])

    world.act(f"promote@{world.rollout['attempt']}")
    world.run(2)

    assert "not all pods" in world.told("ActionRefused")[0]


def test_a_retry_of_what_is_not_wanted_any_more_is_refused():
    world = serving()
    world.add_version(2, failing=1.0)
    world.run(120)
    attempt = world.last["attempt"]
    world.edit(model={"training": "rain", "version": 1})

    world.act(f"retry@{attempt}")
    world.run(5)

    assert "does not ask for" in world.told("ActionRefused")[0]


def test_an_attempt_that_is_turned_back_cannot_be_aborted_again():
    world = ramping(1)
    world.routers[1].applies = False
    world.act(f"abort@{world.rollout['attempt']}")
    world.run(5)

    world.act(f"abort@{world.rollout['attempt']}/again")
    world.run(2)

    assert "turned back already" in world.told("ActionRefused")[0]
