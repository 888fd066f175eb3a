"""What people and generic tools read in the states of a deployment."""

import re
from pathlib import Path

import pytest

from modelyard_operator.model_deployment import reasons
from support.rollout_world import LADDER, QUICK, World

ROOT = Path(__file__).parents[3]


def kstatus(world):
    """Return what kstatus (Flux, `kubectl wait`) makes of the conditions."""
    holds = {c["type"]: c["status"] == "True" for c in world.status["conditions"]}
    if world.status["observedGeneration"] != world.generation or holds["Reconciling"]:
        return "InProgress"
    if holds["Stalled"]:
        return "Failed"
    return "Current" if holds["Ready"] else "InProgress"


def first(world):
    world.behaviours[1].becomes_ready = False
    world.run(3)


def idle(world):
    world.run(10)


def canary(world):
    idle(world)
    world.add_version(2)
    world.run(3)


def paused(world):
    idle(world)
    world.edit(rollout={"steps": [{"weight": 5}, {"pause": {}}], "analysis": QUICK})
    world.add_version(2)
    world.run(120)


def draining(world):
    canary(world)
    world.run(300, until=lambda w: w.phase == "Draining")


def aborted(world):
    idle(world)
    world.add_version(2, failing=1.0)
    world.run(120)


def rejected(world):
    idle(world)
    world.edit(model={"training": "rain", "version": 2})
    world.add_version(2, "Rejected")
    world.run(5)


def suspended(world):
    idle(world)
    world.edit(suspend=True)
    world.run(5)


def held_back(world):
    suspended(world)
    world.add_version(2)
    world.run(5)


def dead(world):
    idle(world)
    world.broken.add(world.status["stable"]["revision"])
    world.run(5)


@pytest.mark.parametrize(
    ("live", "phase", "expected", "available"),
    [
        (first, "Provisioning", "InProgress", False),
        (idle, "Idle", "Current", True),
        (canary, "Shadowing", "InProgress", True),
        (paused, "Paused", "InProgress", True),
        (draining, "Draining", "InProgress", True),
        (aborted, "Aborted", "Failed", True),
        (rejected, "Pending", "Failed", True),
        (suspended, "Suspended", "Current", True),
        (held_back, "Suspended", "InProgress", True),
        (dead, "Idle", "InProgress", False),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_conditions_as_generic_tools_read_them(live, phase, expected, available):
    world = World()
    live(world)

    assert (world.phase, kstatus(world)) == (phase, expected)
    assert (world.condition("Available")["status"] == "True") is available


def test_every_condition_is_there_from_the_first_pass():
    world = World()
    world.step()

    types = [c["type"] for c in world.status["conditions"]]
    assert types == ["Ready", "Available", "Reconciling", "Stalled"]
    assert all(c["reason"] for c in world.status["conditions"])


@pytest.mark.parametrize(
    ("live", "words"),
    [
        (first, "v1: 0 of 2 pods ready: CrashLoopBackOff"),
        (idle, "v1 serves, 2 of 2 pods ready."),
        (canary, "v2 mirrored 100 % (step 1 of 4)"),
        (paused, "v2 at 5 % (step 2 of 2): waits for a person. v1 serves."),
        (aborted, "v1 serves; v2 was turned back: "),
        (suspended, "v1 serves; rollouts are suspended."),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_the_summary_tells_the_story(live, words):
    world = World()
    live(world)

    assert words in world.status["summary"]


def test_the_summary_says_how_long_it_takes_at_this_pace():
    world = World(rollout={"steps": list(LADDER), "analysis": QUICK | {"minRequests": 3000}})
    idle(world)
    world.add_version(2)
    world.run(9)

    found = re.search(r"about (\d+)s more at ([\d.e+]+) requests a minute", world.status["summary"])

    assert found, world.status["summary"]
    assert float(found[2]) == pytest.approx(12_000, rel=0.1)
    assert int(found[1]) in (9, 10)


def test_traffic_says_what_is_wanted_and_what_is_confirmed():
    world = World()
    idle(world)
    world.routers[1].applies = False
    world.add_version(2)
    world.run(6)

    traffic = world.rollout["traffic"]
    assert traffic["desired"]["mirrorPercent"] == 100
    assert traffic["applied"]["version"] < traffic["desired"]["version"]
    assert traffic["applied"]["routers"] == "1/2"


def test_the_trace_shows_how_the_evidence_came_about():
    world = World(rollout={"steps": [{"weight": 50}], "analysis": QUICK | {"minRequests": 5000}})
    idle(world)
    world.add_version(2)
    world.run(40)

    trace = world.rollout["trace"]
    assert [point["n"] for point in trace] == sorted(point["n"] for point in trace)
    assert float(trace[-1]["good"]) > float(trace[0]["good"]) > 0


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("abort", "is not <verb>@<attempt>"),
        ("explode@1", "is not <verb>@<attempt>"),
        ("abort@1", "nothing to abort"),
        ("retry@1", "attempt 1 is not the one that was turned back last"),
    ],
)
def test_what_makes_no_sense_is_refused_once(value, words):
    world = World()
    idle(world)
    world.act(value)

    world.run(30)

    assert world.status["lastHandledAction"] == value
    assert [words in note for note in world.told("ActionRefused")] == [True]


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("abort@1", "attempt 2 is under way, not 1"),
        ("resume@2", "is not paused"),
        ("retry@2", "attempt 2 is under way"),
    ],
)
def test_what_does_not_fit_the_attempt_is_refused(verb, words):
    world = World()
    canary(world)
    world.act(verb)

    world.run(2)

    assert words in world.told("ActionRefused")[0]


@pytest.mark.parametrize("verb", ["promote", "promote-full", "pause"])
def test_an_attempt_that_waits_for_pods_cannot_be_pushed(verb):
    world = World()
    idle(world)
    world.add_version(2, becomes_ready=False)
    world.run(3)

    world.act(f"{verb}@2")
    world.run(2)

    assert world.told("ActionRefused")
    assert world.phase == "Provisioning"


def test_a_first_revision_that_takes_all_traffic_cannot_be_aborted():
    world = World()
    for router in world.routers:
        router.applies = False
    world.run(3)
    assert world.phase == "Promoting"

    world.act("abort@1")
    world.run(2)

    assert "nothing to go back to" in world.told("ActionRefused")[0]


def test_promote_full_skips_the_rest():
    world = World()
    canary(world)

    world.act("promote-full@2")
    world.run(10, rate=0)

    assert (world.stable, world.last["reason"]) == (2, "PromotedByUser")


def test_transitions_are_told_as_events_once():
    world = World()
    canary(world)
    world.run(300, until=lambda w: w.stable == 2)

    assert len(world.told("AttemptStarted")) == 2
    assert len(world.told("StepEntered")) == 4
    assert len(world.told("Promoted")) == 2


def test_every_reason_is_documented():
    page = (ROOT / "docs/reasons/rollouts.md").read_text()
    codes = {value for name, value in vars(reasons).items() if name.isupper()}

    assert {code for code in codes if f"`{code}`" not in page} == set()
