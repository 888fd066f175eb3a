"""The funnel as a table: who asks, what is so, and what the answer is."""

from dataclasses import replace
from datetime import timedelta

import pytest

from modelyard_core.runs import Verdict
from modelyard_operator.api.v1alpha1.model_training import ModelTraining
from modelyard_operator.api.v1alpha1.training_status import LastRun, Request, RunStatus
from modelyard_operator.model_training import funnel, reasons
from modelyard_operator.model_training.funnel import Case, Hold, Refuse, Run
from modelyard_operator.model_training.ledger import Ledger
from modelyard_operator.model_training.observed import Data, DriftRequest, Observed, Version
from support.training_world import IMAGES, NOON, World, a_spec

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
SERVED = "sha256:" + "5" * 64
DATA = Data(digest="sha256:" + "d" * 64)


def a_training(**changes) -> ModelTraining:
    return ModelTraining.model_validate({"metadata": {"name": "rain"}, "spec": a_spec(**changes)})


def a_wish(source="Spec", token="t") -> Request:
    return Request(token=token, source=source, at=NOON, outcome="Pending", reason="Received")


def a_world(**changes) -> Observed:
    asked = DriftRequest("rain", "t", NOON, SERVED)
    base = Observed(
        NOON, IMAGES, "models", data=DATA, drift=(asked,), served_digests=frozenset({SERVED})
    )
    return replace(base, **changes)


def ended(ago: timedelta, verdict=Verdict.BLESSED) -> LastRun:
    return LastRun(
        name="rain-0",
        trigger="Spec",
        started_at=NOON - ago,
        finished_at=NOON - ago,
        reason="x",
        succeeded=verdict is not None,
        verdict=verdict,
    )


RUN = RunStatus(name="rain-0", key="k", token="o", trigger="Spec", started_at=NOON)
KEY = Case(a_wish(), a_training(), Ledger(), a_world()).key
TRAINED = Version(4, "sha256:v", "pvc://m/x", KEY, "rain-0", Verdict.BLESSED)
FULL = tuple(NOON - timedelta(hours=hour) for hour in range(23, -1, -1))


def case(source="Spec", ledger=Ledger(), *, suspend=False, triggers=None, **world) -> Case:  # noqa: B008
    training = a_training(suspend=suspend, triggers=triggers or {})
    return Case(a_wish(source), training, ledger, a_world(**world))


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        pytest.param(case(), Run(KEY), id="nothing-in-the-way"),
        pytest.param(case("Drift"), Run(KEY), id="drift-of-what-serves"),
        pytest.param(case(suspend=True), Hold(reasons.SUSPENDED), id="suspended"),
        pytest.param(
            case("Drift", suspend=True, drift=()), Hold(reasons.SUSPENDED), id="suspended-first"
        ),
        pytest.param(case("Drift", drift=()), Refuse(reasons.STALE_EVIDENCE), id="withdrawn"),
        pytest.param(
            case("Drift", served_digests=frozenset()),
            Refuse(reasons.STALE_EVIDENCE),
            id="drift-of-what-serves-no-more",
        ),
        pytest.param(
            case("Drift", drift=(DriftRequest("rain", "t"),), served_digests=frozenset()),
            Run(KEY),
            id="drift-of-no-named-model",
        ),
        pytest.param(
            case("Drift", Ledger(unhelpful_drift_runs=3)),
            Refuse(reasons.RETRAINING_NOT_HELPING),
            id="the-circuit-is-open",
        ),
        pytest.param(case("Manual", Ledger(unhelpful_drift_runs=3)), Run(KEY), id="a-person-may"),
        pytest.param(case("Spec", Ledger(run=RUN)), Hold(reasons.RUN_IN_FLIGHT), id="in-flight"),
        pytest.param(
            case(data=Data(problem="gone")),
            Hold(reasons.DATA_NOT_FOUND, NOON + funnel.DATA_RECHECK),
            id="no-data",
        ),
        pytest.param(
            case(versions=(TRAINED,)), Refuse(reasons.ALREADY_TRAINED, TRAINED), id="trained"
        ),
        pytest.param(
            case("Drift", versions=(TRAINED,)),
            Refuse(reasons.DATA_UNCHANGED, TRAINED),
            id="drift-without-new-data",
        ),
        pytest.param(
            case("Manual", Ledger(last_run=ended(HOUR / 2))),
            Hold(reasons.COOLING_DOWN, NOON + HOUR / 2),
            id="manual-cools-down",
        ),
        pytest.param(
            case("Manual", Ledger(last_run=ended(HOUR))), Run(KEY), id="manual-has-cooled-down"
        ),
        pytest.param(
            case("Manual", Ledger(last_run=ended(HOUR / 2, None))),
            Run(KEY),
            id="manual-after-a-failure-at-once",
        ),
        pytest.param(
            case("Spec", Ledger(last_run=ended(HOUR / 2))), Run(KEY), id="a-new-spec-never-waits"
        ),
        pytest.param(
            case("Drift", Ledger(last_run=ended(HOUR / 2, None))),
            Hold(reasons.COOLING_DOWN, NOON + HOUR / 2),
            id="drift-waits-after-a-failure",
        ),
        pytest.param(
            case("Drift", Ledger(last_run=ended(HOUR), unhelpful_drift_runs=2)),
            Hold(reasons.COOLING_DOWN, NOON + 3 * HOUR),
            id="drift-waits-twice-as-long-each-time",
        ),
        pytest.param(
            case(
                "Drift",
                Ledger(last_run=ended(HOUR), unhelpful_drift_runs=2),
                triggers={"cooldown": "3d"},
            ),
            Hold(reasons.COOLING_DOWN, NOON + 7 * DAY - HOUR),
            id="but-at-most-a-week",
        ),
        pytest.param(
            case("Spec", Ledger(started=FULL)),
            Hold(reasons.BUDGET_EXHAUSTED, NOON + HOUR),
            id="the-day-is-full",
        ),
        pytest.param(
            case("Spec", Ledger(started=FULL), triggers={"maxRunsPerDay": 2}),
            Hold(reasons.BUDGET_EXHAUSTED, NOON + 23 * HOUR),
            id="more-than-full",
        ),
        pytest.param(
            case("Spec", Ledger(started=FULL), triggers={"maxRunsPerDay": 25}),
            Run(KEY),
            id="room-for-one",
        ),
    ],
)
def test_judge(given, answer):
    assert funnel.judge(given) == answer


@pytest.mark.parametrize(
    ("waiting", "coming", "left"),
    [
        ("Spec", "Spec", [("Superseded", "NewerRequest"), ("Pending", "Received")]),
        ("Drift", "Drift", [("Superseded", "NewerRequest"), ("Pending", "Received")]),
        ("Drift", "Manual", [("Superseded", "NewerRequest"), ("Pending", "Received")]),
        ("Manual", "Spec", [("Superseded", "NewerRequest"), ("Pending", "Received")]),
        ("Spec", "Manual", [("Pending", "Received"), ("Superseded", "CoveredByPendingRequest")]),
        ("Manual", "Drift", [("Pending", "Received"), ("Superseded", "CoveredByPendingRequest")]),
    ],
)
def test_at_most_one_wish_waits(waiting, coming, left):
    ledger = funnel.admit(funnel.admit(Ledger(), a_wish(waiting, "a")), a_wish(coming, "b"))

    assert [(r.outcome, r.reason) for r in ledger.requests] == left


def test_settled_wishes_make_room_and_open_ones_stay():
    ledger = Ledger().record(a_wish("Spec", "open"))
    for number in range(30):
        done = a_wish("Drift", f"d{number}").model_copy(update={"outcome": "Suppressed"})
        ledger = ledger.record(done)

    assert len(ledger.requests) == 20
    assert ledger.pending is not None
    assert ledger.pending.token == "open"


# Through the shell


async def a_served_world(**changes) -> World:
    world = World(**changes)
    await world.settle()
    world.succeed()
    await world.settle()
    world.serve(world.versions[0])
    await world.settle()
    world.advance(2 * HOUR)
    return world


def served(world: World) -> str:
    return world.versions[0]["spec"]["digest"]


async def test_an_episode_starts_one_run_whatever_restarts():
    world = await a_served_world()
    world.write_data("rain,dew\nnew,rows\n")
    world.drift("rain-7", served(world))
    await world.settle()
    assert world.status["run"]["trigger"] == "Drift"
    assert world.status["requests"][-1]["token"] == "rain-7"

    world.succeed()
    await world.settle()
    world.advance(DAY)
    await world.settle()

    assert world.requests[-1] == ("Drift", "Succeeded", "Blessed")
    assert world.trained == 2


async def test_an_episode_is_remembered_beyond_the_twenty_requests():
    world = await a_served_world()
    world.drift("rain-7", "sha256:other")
    await world.settle()
    for number in range(25):
        world.advance(2 * HOUR)
        world.annotate(f"again {number}")
        await world.settle()

    assert all(source != "Drift" for source, _, _ in world.requests)
    assert len(world.requests) == 20


async def test_drift_without_new_data_says_so():
    world = await a_served_world()
    world.drift("rain-7", served(world))

    await world.settle()

    assert world.requests[-1] == ("Drift", "Suppressed", "DataUnchanged")
    assert world.status["requests"][-1]["version"] == 1
    assert world.status["phase"] == "Succeeded"


async def test_drift_without_new_data_on_a_claim_is_found_by_the_job():
    world = await a_served_world(data={"train": {"pvc": {"claimName": "w", "path": "w.csv"}}})
    world.drift("rain-7", served(world))
    await world.settle()
    world.succeed()
    await world.settle()

    assert world.trained == 1
    assert world.requests[-1] == ("Drift", "Succeeded", "DataUnchanged")
    assert [v["spec"]["version"] for v in world.versions] == [1]


async def test_three_rejections_for_drift_open_the_circuit_and_a_person_closes_it():
    world = await a_served_world()
    for number in range(3):
        world.write_data(f"rain\n{number}\n")
        world.drift(f"rain-{number}", served(world))
        world.advance(DAY)
        await world.settle()
        world.succeed(Verdict.REJECTED, 0.5, "roc_auc 0.5 is below 0.7")
        await world.settle()
    assert world.condition("Stalled")["reason"] == "RetrainingNotHelping"
    assert world.condition("Succeeded")["status"] == "True"

    world.advance(7 * DAY)
    world.write_data("rain\n4\n")
    world.drift("rain-4", served(world))
    await world.settle()
    assert world.requests[-1] == ("Drift", "Suppressed", "RetrainingNotHelping")

    world.annotate("I changed the labels")
    await world.settle()
    world.succeed()
    await world.settle()
    assert world.condition("Stalled")["status"] == "False"


async def test_a_request_that_waits_runs_when_its_time_has_come():
    world = await a_served_world()
    world.annotate("first")
    world.write_data("rain\n1\n")
    await world.settle()
    world.succeed()
    await world.settle()
    world.annotate("second")
    world.write_data("rain\n2\n")

    wait = await world.settle()

    assert wait == HOUR
    assert world.requests[-1] == ("Manual", "Pending", "CoolingDown")
    assert "waits for the cooldown until 2026-03-01 15:00:00Z" in world.status["summary"]
    assert world.condition("Succeeded")["status"] == "True"
    world.advance(wait)
    await world.settle()
    assert world.status["run"]["trigger"] == "Manual"


async def test_a_waiting_request_of_a_model_that_was_replaced_is_dropped():
    world = await a_served_world()
    world.edit(target="snow")
    await world.settle()
    world.start_pod()
    world.drift("rain-7", served(world))
    await world.settle()
    assert world.requests[-1] == ("Drift", "Pending", "RunInFlight")

    world.succeed()
    world.write_data("rain,dew\nnew,rows\n")
    await world.settle()
    assert world.requests[-1] == ("Drift", "Pending", "CoolingDown")
    world.serve(world.versions[1])
    await world.settle()

    assert world.requests[-1] == ("Drift", "Suppressed", "StaleEvidence")
