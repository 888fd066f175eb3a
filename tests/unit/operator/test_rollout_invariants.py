"""What holds in every rollout, whatever happens in it, and wherever the operator is cut off.

The world itself refuses weight to dead pods and deletion of pods in use; here the state is watched.
"""

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelyard_operator.model_deployment import measuring
from support.rollout_world import LADDER, QUICK, World

STEPS = (
    list(LADDER),
    [{"weight": 20}],
    [{"mirror": 50}, {"pause": {}}, {"weight": 30}],
    [{"weight": 10}, {"weight": 60}, {"pause": {}}],
)
SHORT = QUICK | {"maxStepDuration": "40s"}

events = st.one_of(
    st.sampled_from(["good", "failing", "dead", "slow-start"]).map(lambda kind: ("version", kind)),
    st.sampled_from(["promote", "promote-full", "pause", "resume", "abort", "retry"]).map(
        lambda verb: ("act", verb)
    ),
    st.integers(1, 3).map(lambda number: ("pin", number)),
    st.sampled_from(["candidate", "all"]).map(lambda whose: ("break", whose)),
    st.just(("heal", "")),
    st.booleans().map(lambda on: ("suspend", on)),
    st.integers(1, 3).map(lambda count: ("replicas", count)),
    st.just(("router", "")),
    st.just(("deaf", "")),
    st.integers(0, 6).map(lambda writes: ("crash", writes)),
)
moments = st.tuples(events, st.integers(1, 45), st.sampled_from([0.0, 5.0, 200.0]))


class Watched:
    """A world whose every status is compared with the one before."""

    def __init__(self, steps, **rollout):
        self.world = World(
            rollout={"steps": steps, "analysis": SHORT, "progressDeadline": "50s"} | rollout
        )
        self.world.run(10)
        self.seen = self.world.status
        self.by_hand = False

    def happen(self, event):
        kind, what = event
        getattr(self, f"_{kind.replace('-', '_')}")(what)

    def _version(self, kind):
        behaviour = {"failing": 1.0} if kind == "failing" else {}
        self.world.add_version(
            max(self.world.versions) + 1, becomes_ready=kind in ("good", "failing"), **behaviour
        )

    def _act(self, verb):
        attempt = self.world.rollout.get("attempt") or self.world.last.get("attempt", 1)
        self.world.act(f"{verb}@{attempt}/{self.world.writes}")

    def _pin(self, number):
        self.world.edit(model={"training": "rain", "version": number})

    def _break(self, whose):
        names = [self.world.rollout.get("revision")]
        if whose == "all":
            names.append(self.world.status["stable"]["revision"])
        self.world.broken |= {name for name in names if name}

    def _heal(self, _):
        self.world.broken.clear()
        for router in self.world.routers:
            router.applies = router.is_reachable = True

    def _suspend(self, on):
        self.world.edit(suspend=on)

    def _replicas(self, count):
        self.world.edit(replicas=count)

    def _router(self, _):
        self.world.routers[0].is_leaving = True
        self.world.scale_routers(len(self.world.routers) + 1)
        self.world.routers.pop(0)
        self.world.agents()

    def _deaf(self, _):
        self.world.routers[-1].applies = False

    def _crash(self, writes):
        self.world.step(cut=writes)

    def run(self, seconds, rate):
        for _ in range(seconds):
            self.world.run(1, rate)
            self.check(self.seen, self.world.status)
            self.seen = self.world.status

    def check(self, before, after):
        self.stable_moves_at_one_place(before, after)
        self.a_mirror_goes_with_its_attempt(after)
        self.a_new_attempt_starts_at_the_bottom(before, after)

    def stable_moves_at_one_place(self, before, after):
        if before["stable"]["revision"] == after["stable"]["revision"]:
            return
        last = after["lastAttempt"]
        assert last["outcome"] == "Promoted"
        assert last["revision"] == after["stable"]["revision"]
        assert last["revision"] not in after.get("abortedRevisions", [])
        if last["start"] == "Canary" and last["reason"] != "PromotedByUser":
            for check in last["analysis"]:
                assert check["decision"] == "Passing"
                assert check["nCanary"] >= QUICK["minRequests"]

    def a_mirror_goes_with_its_attempt(self, after):
        if not after.get("rollout"):
            table = self.world.objects["ConfigMap", "rain-routes"]["data"]["routes.json"]
            assert '"mirror"' not in table
            assert '"canary"' not in table

    def a_new_attempt_starts_at_the_bottom(self, before, after):
        rollout = after.get("rollout")
        if rollout and rollout["attempt"] != before["attempt"] and rollout["start"] == "Canary":
            assert rollout.get("step", {}).get("index", 0) == 0


@pytest.mark.slow
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(STEPS), st.lists(moments, min_size=1, max_size=7))
def test_the_invariants_hold_whatever_happens(steps, story):
    watched = Watched(steps)
    for event, seconds, rate in story:
        watched.happen(event)
        watched.run(seconds, rate)


@pytest.mark.slow
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(STEPS),
    st.lists(st.tuples(st.integers(0, 6), st.integers(1, 12)), min_size=1, max_size=12),
    st.sampled_from(["good", "failing", "dead"]),
)
def test_a_crash_after_any_write_changes_no_end(steps, cuts, kind):
    watched = Watched(steps)
    watched.happen(("version", kind))
    for cut, seconds in cuts:
        watched.world.step(cut=cut)
        watched.run(seconds, 200.0)
    for _ in range(5):
        watched.world.run(250, until=lambda w: w.phase in ("Paused", "Aborted"))
        if watched.world.phase == "Paused":
            watched.world.act(f"resume@{watched.world.rollout['attempt']}/{watched.world.writes}")

    world = watched.world
    world.run(60)
    assert world.failed == 0
    assert (world.phase, world.stable) == (("Idle", 2) if kind == "good" else ("Aborted", 1))
    names = [name for kind_, name in world.objects if kind_ == "Deployment"]
    assert sorted(names) == sorted([world.status["stable"]["revision"], "rain-router"])


@pytest.mark.slow
@pytest.mark.parametrize("cut", range(9))
@pytest.mark.parametrize("moment", ["start", "abort", "promote", "drain"])
def test_every_write_of_every_path_may_be_the_last_one(moment, cut):
    world = World()
    world.run(10)
    world.add_version(2, failing=1.0 if moment == "abort" else 0.0)
    until = {
        "start": lambda w: True,
        "abort": lambda w: w.phase == "Aborting",
        "promote": lambda w: w.phase == "Promoting",
        "drain": lambda w: any("since" in drain for drain in w.status.get("draining", [])),
    }[moment]
    for _ in range(2000):
        if until(world):
            break
        world.step()
        world.now += world.requeue or timedelta(0)
        world.agents()
        world.clients(200, 1.0)
    assert until(world)

    world.step(cut=cut)
    world.run(200)

    assert world.failed == 0
    assert (world.phase, world.stable) == (("Aborted", 1) if moment == "abort" else ("Idle", 2))


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(STEPS), st.lists(moments, max_size=4))
def test_deciding_twice_does_nothing_the_second_time(steps, story):
    watched = Watched(steps)
    for event, seconds, rate in story:
        watched.happen(event)
        watched.run(seconds, rate)
    watched.world.settle()
    watched.world.settle()
    before = watched.world.status

    decision = watched.world.decide()

    assert decision.status == before


@pytest.mark.parametrize("verb", ["abort", "harm"])
def test_abort_is_one_traffic_write_and_needs_no_scale_up(verb):
    world = World()
    world.run(10)
    world.add_version(2)
    world.run(300, until=lambda w: (w.rollout.get("step") or {}).get("index") == 2)
    world.run(3)
    if verb == "abort":
        world.act(f"abort@{world.rollout['attempt']}")
    else:
        world.behaviours[2].failing = 1.0
        world.clients(200, 6)
        world.now += measuring.TICK
    decision = world.decide()

    kinds = [type(action).__name__ for action in decision.actions]
    first = decision.actions[0].obj
    changed = [a for a in decision.actions if type(a).__name__ in ("Create", "Delete")]
    assert (kinds[0], first["kind"]) == ("Apply", "ConfigMap")
    assert '"canary"' not in first["data"]["routes.json"]
    assert '"mirror"' not in first["data"]["routes.json"]
    assert changed == []
