"""Killed after any number of writes, the operator comes to the same end."""

import asyncio
import json
import random
from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard_core.errors import ModelyardError
from modelyard_core.runs import RunError, Verdict
from support.training_world import PVC_DATA, Killed, World

LIMIT = 60
CONFIG_MAP = {"configMap": {"name": "weather", "path": "train.csv"}}
_HOURS = [timedelta(hours=hours) for hours in (0, 1, 5, 30)]


async def train(world: World) -> None:
    await world.settle()
    world.succeed()
    await world.settle()


async def train_twice(world: World) -> None:
    await train(world)
    world.edit(target="snow")
    await world.settle()
    world.succeed(Verdict.REJECTED, 0.5, "roc_auc 0.5 is below 0.7")
    await world.settle()


async def fail_and_repeat(world: World) -> None:
    await world.settle()
    world.fail(11, RunError("TooFewRows", "3 rows are fewer than 100"))
    await world.settle()
    world.annotate("repaired")
    await world.settle()
    world.succeed()
    await world.settle()


async def five_runs(world: World) -> None:
    for number in range(5):
        world.edit(target=f"rain{number}")
        await train(world)


def facts(world: World) -> str:
    """Return what must not depend on when the operator was killed."""
    kept = ("champion", "latest", "requests", "phase", "summary", "conditions", "lastRun")
    return json.dumps(
        {
            "status": {key: value for key, value in world.status.items() if key in kept},
            "versions": [(v["metadata"]["name"], v["spec"]) for v in world.versions],
            "jobs": sorted(job["metadata"]["name"] for job in world.jobs),
            "trained": world.trained,
        },
        sort_keys=True,
    )


async def run_killed(story, kill_at: int, **changes) -> tuple[World, bool]:
    """Play a story with an operator that is killed once, after so many writes."""
    world = World(**changes)
    original, left, was_killed = world.settle, [kill_at], [False]

    async def settle():
        if was_killed[0]:
            return await original()
        world.api.writes_left = left[0]
        try:
            return await original()
        except Killed:
            was_killed[0] = True
            world.api.writes_left = None
            return await original()
        finally:
            left[0] = world.api.writes_left or 0
            world.api.writes_left = None

    world.settle = settle
    await story(world)
    return world, was_killed[0]


@pytest.mark.parametrize(
    ("story", "every", "data"),
    [
        pytest.param(train, 1, {}, id="one-run"),
        pytest.param(train, 1, {"data": PVC_DATA}, id="one-run-on-a-claim"),
        pytest.param(train_twice, 1, {}, id="two-runs"),
        pytest.param(fail_and_repeat, 1, {"data": PVC_DATA}, id="failed-and-repeated"),
        pytest.param(five_runs, 7, {}, id="five-runs"),
    ],
)
async def test_a_kill_after_each_write_changes_nothing(story, every, data):
    undisturbed = World(**data)
    await story(undisturbed)
    expected = facts(undisturbed)

    for kill_at in range(0, LIMIT, every):
        world, was_killed = await run_killed(story, kill_at, **data)
        assert facts(world) == expected, f"killed after {kill_at} writes"
        if not was_killed:
            break
    else:
        pytest.fail("the story has more writes than the limit")


def _happen(world: World, event: str, number: int) -> None:
    run = world.status.get("run")
    has_job = bool(run) and ("Job", "shop", run["name"]) in world.api.objects
    if event in _OF_A_JOB:
        if has_job and (event == "lose_job" or "conditions" not in world.job.get("status", {})):
            _OF_A_JOB[event](world, number)
    else:
        _OF_A_PERSON[event](world, number)
    world.advance(_HOURS[number])


def _serve(world: World, number: int) -> None:
    if world.versions:
        world.serve(world.versions[number % len(world.versions)])


_OF_A_JOB = {
    "succeed": lambda world, number: world.succeed(list(Verdict)[number]),
    "fail": lambda world, number: world.fail((10, 11, 20, 137)[number]),
    "lose_job": lambda world, _: world.lose_job(),
}
_OF_A_PERSON = {
    "settle": lambda _world, _number: None,
    "lose_pods": lambda world, _: world.lose_pods(),
    "edit": lambda world, number: world.edit(target=f"target{number}"),
    "annotate": lambda world, number: world.annotate(f"word {number}"),
    "drift": lambda world, number: world.drift(f"rain-{number}"),
    "serve": _serve,
    "write_data": lambda world, number: world.write_data(f"rain\n{number}\n"),
}


def _check(world: World) -> None:
    status = world.status
    open_jobs = [job for job in world.jobs if "conditions" not in job.get("status", {})]
    assert len(open_jobs) <= 1, "one run at a time"
    numbers = [v["spec"]["version"] for v in world.versions]
    assert len(set(numbers)) == len(numbers)
    assert len({v["spec"]["digest"] for v in world.versions}) == len(numbers), "no duplicates"
    requests = status.get("requests", [])
    assert len(requests) <= 20
    assert sum(r["outcome"] == "Pending" for r in requests) <= 1
    assert sum(r["outcome"] == "Running" for r in requests) == bool(status.get("run"))
    episodes = [r["token"] for r in requests if r["source"] == "Drift"]
    assert len(set(episodes)) == len(episodes), "each episode is taken up once"


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(_OF_A_JOB | _OF_A_PERSON)), st.integers(0, 3)), max_size=15
    ),
    st.data(),
)
async def test_whatever_happens_the_invariants_hold(script, data):
    world = World(data=PVC_DATA if data.draw(st.booleans()) else {"train": CONFIG_MAP})
    for event, number in script:
        _happen(world, event, number)
        world.api.writes_left = data.draw(st.sampled_from([None, None, 0, 1, 2, 3]))
        with suppress(Killed):
            await world.settle()
        world.api.writes_left = None
        _check(world)
    await world.settle()
    _check(world)


def _interleave(world: World, dice: random.Random) -> None:
    """Let others in before each call of the API."""

    def hesitant(call):
        async def called(*arguments, **options):
            for _ in range(dice.randrange(4)):
                await asyncio.sleep(0)
            return await call(*arguments, **options)

        return called

    for name in ("get", "list", "create", "apply_status", "delete"):
        setattr(world.api, name, hesitant(getattr(world.api, name)))


async def _keep_reconciling(world: World) -> None:
    for _ in range(10):
        with suppress(ModelyardError):
            await world.reconcile()


@pytest.mark.parametrize("seed", range(6))
async def test_two_operators_at_once_do_what_one_does(seed):
    """The lease makes this rare, not impossible."""
    world = World()
    _interleave(world, random.Random(seed))

    for number in range(2):
        world.edit(target=f"rain{number}")
        await asyncio.gather(_keep_reconciling(world), _keep_reconciling(world))
        world.succeed()
        await asyncio.gather(_keep_reconciling(world), _keep_reconciling(world))

    assert [v["spec"]["version"] for v in world.versions] == [1, 2]
    assert [r["outcome"] for r in world.status["requests"]] == ["Succeeded", "Succeeded"]
    assert world.condition("Stalled")["status"] == "False"
