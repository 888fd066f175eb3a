"""From the monitor's report to phases, conditions and requests."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard_core.watch import EpisodeState, WindowState
from modelyard_operator.drift_monitor import plan
from support.drift_world import (
    MINUTE,
    NOON,
    RETRAIN,
    V1,
    V2,
    Scene,
    a_monitor,
    a_problem,
    a_report,
    a_window,
    an_answer,
    an_episode,
    attempt,
    blessed,
    drifting,
    seen,
)


def test_the_whole_life_of_a_drift():
    scene = Scene()
    scene.see()
    scene.see(report=drifting())
    assert scene.request == {
        "id": "rain-1",
        "episode": 1,
        "requestedAt": "2026-01-01T12:00:20Z",
        "servedDigest": V1.digest,
        "reason": "episode 1: dew_point drifted",
    }
    scene.see(answers=(an_answer(),))
    assert scene.phase == "RetrainRequested"
    scene.see(answers=(blessed(),), deployment=scene.deployment(in_rollout=True))
    assert scene.phase == "Validating"
    scene.promote(V2)
    assert scene.request is None
    assert (scene.last["id"], scene.last["outcome"], scene.last["version"]) == (
        "rain-1",
        "Promoted",
        2,
    )
    assert scene.phase == "Cooldown"
    assert scene.status["reference"]["version"] == 2
    scene.see(timedelta(hours=1), report=a_report(V2))
    assert scene.phase == "Stable"
    assert scene.events == ["Drifting", "RetrainRequested", "RetrainFinished"]


def test_a_request_is_made_once_however_often_we_look():
    scene = Scene()
    for _ in range(5):
        scene.see(report=drifting())

    assert scene.events.count("RetrainRequested") == 1
    assert scene.request["requestedAt"] == "2026-01-01T12:00:10Z"
    assert [each["id"] for each in scene.status["retrains"]] == ["rain-1"]


def test_a_crash_before_the_status_is_written_asks_with_the_same_id():
    scene = Scene()
    scene.see()
    lost = plan.decide(a_monitor(scene.status), replace(scene.world, report=drifting()))

    scene.see(report=drifting())

    assert lost.status["retrainRequest"]["id"] == scene.request["id"] == "rain-1"


def test_a_lost_status_finds_its_request_again():
    scene = Scene()
    scene.see(report=drifting())
    scene.status = None

    scene.see(answers=(an_answer(),))
    assert (scene.request["id"], scene.request["requestedAt"]) == ("rain-1", "2026-01-01T12:00:00Z")
    scene.see(answers=(an_answer(outcome="Failed", reason="BadData"),))

    assert (scene.last["outcome"], scene.last["reason"]) == ("Failed", "BadData")


@pytest.mark.parametrize(
    ("answer", "outcome", "reason"),
    [
        (an_answer(outcome="Failed", reason="BadData"), "Failed", "BadData"),
        (an_answer(outcome="Suppressed", reason="DataUnchanged"), "Suppressed", "DataUnchanged"),
        (an_answer(outcome="Superseded", reason="NewerRequest"), "Superseded", "NewerRequest"),
        (
            an_answer(outcome="Succeeded", reason="Rejected", version=2, verdict="Rejected"),
            "NotBlessed",
            "Rejected",
        ),
        (blessed(version=1), "Unchanged", "SameVersion"),
    ],
)
def test_how_a_request_ends_without_a_rollout(answer, outcome, reason):
    scene = seen(report=drifting())

    scene.see(answers=(answer,))

    assert (scene.last["outcome"], scene.last["reason"]) == (outcome, reason)
    assert scene.request is None
    assert scene.phase == "Drifting"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"last_attempt": attempt("Aborted")}, "AnalysisFailed"),
        ({"pinned": 1}, "DeploymentIsPinned"),
        ({"training": "snow"}, "FollowsAnotherTraining"),
    ],
)
def test_how_a_request_ends_without_promotion(changes, reason):
    scene = seen(report=drifting())

    scene.see(answers=(blessed(),), deployment=scene.deployment(**changes))

    assert (scene.last["outcome"], scene.last["reason"]) == ("NotPromoted", reason)


@pytest.mark.parametrize(
    "last",
    [
        attempt("Aborted", version=1),
        attempt("Promoted"),
        attempt("Aborted", at=NOON - MINUTE),
    ],
    ids=["of-another-version", "promoted-is-seen-at-the-digest", "of-an-earlier-request"],
)
def test_other_rollouts_do_not_end_a_request(last):
    scene = seen(report=drifting())

    scene.see(answers=(blessed(),), deployment=scene.deployment(last_attempt=last))

    assert scene.phase == "Validating"


def test_another_version_that_serves_ends_the_request():
    scene = seen(report=drifting())

    scene.promote(V2)

    assert (scene.last["outcome"], scene.last["reason"]) == ("Superseded", "AnotherVersionServes")


def test_a_promotion_ends_the_drift_before_the_monitor_has_rebased():
    scene = seen(report=drifting())
    scene.see(answers=(blessed(),))

    for _ in range(2):
        scene.see(deployment=scene.deployment(served=V2))

    assert (scene.last["outcome"], scene.phase) == ("Promoted", "Cooldown")
    assert (scene.status["episode"]["number"], scene.status["episode"]["state"]) == (1, "Stable")
    assert scene.status.get("drifting", "") == ""
    assert scene.events.count("Drifting") == 1


def test_a_drift_that_ends_before_anybody_acts_takes_its_request_back():
    scene = seen(report=drifting())

    scene.see(
        answers=(an_answer(outcome="Pending"),),
        report=a_report(episode=an_episode(state=EpisodeState.STABLE)),
    )

    assert scene.last["outcome"] == "Withdrawn"


def test_a_drift_that_ends_while_the_run_is_under_way_does_not():
    scene = seen(report=drifting())

    scene.see(
        answers=(an_answer(),), report=a_report(episode=an_episode(state=EpisodeState.STABLE))
    )

    assert scene.phase == "RetrainRequested"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"report": drifting(quality=(a_problem(),))}, "DataQuality"),
        (
            {"deployment": replace(Scene().world.deployment, in_rollout=True)},
            "RolloutInProgress",
        ),
        ({"has_training": False}, "TrainingNotFound"),
    ],
)
def test_what_holds_a_request_back_and_what_lets_it_go(changes, code):
    scene = seen(report=drifting())
    fresh = Scene()
    fresh.see(**({"report": drifting()} | changes))

    assert fresh.request is None
    held = plan.decide(a_monitor(fresh.status), fresh.world)
    assert held.status.get("retrainRequest") is None
    sentences = {
        "DataQuality": "Nothing is trained on bad data.",
        "RolloutInProgress": "waits until the rollout",
        "TrainingNotFound": "There is no ModelTraining rain",
    }
    assert sentences[code] in fresh.status["summary"]
    restored = {"deployment": scene.world.deployment, "has_training": True, "report": drifting()}
    fresh.see(**restored)
    assert fresh.request["id"] == "rain-1"


def test_bad_data_blocks_even_a_confirmed_drift():
    scene = seen(report=drifting(quality=(a_problem(),)))

    assert scene.phase == "DataQuality"
    assert scene.truths()["DriftDetected"] == "True"
    assert "DataQuality" in scene.events


def test_a_run_that_came_to_nothing_is_not_repeated_for_the_same_drift():
    scene = seen(report=drifting())
    scene.see(answers=(an_answer(outcome="Failed", reason="BadData"),))

    scene.see(timedelta(days=2))

    assert scene.request is None
    assert "retrained once" in scene.status["summary"]


def test_a_request_that_nothing_ran_for_is_repeated_after_the_cooldown():
    scene = seen(report=drifting())
    refused = an_answer(outcome="Suppressed", reason="DataUnchanged")
    scene.see(answers=(refused,))

    scene.see(timedelta(minutes=59))
    assert scene.request is None
    scene.see(MINUTE)
    assert scene.request["id"] == "rain-1.1"
    again = an_answer("rain-1.1", "Suppressed", reason="DataUnchanged")
    scene.see(answers=(refused, again))
    scene.see(timedelta(hours=1))

    assert scene.request["id"] == "rain-1.2"


def test_a_new_drift_waits_for_the_cooldown():
    scene = seen(report=drifting())
    scene.see(answers=(blessed(),))
    scene.promote(V2)
    fresh = replace(drifting(2), reference_digest=V2.digest)

    scene.see(MINUTE, report=fresh)
    assert scene.phase == "Drifting"
    assert "No request before the cooldown ends" in scene.status["summary"]
    assert scene.after == timedelta(seconds=10)
    scene.see(timedelta(hours=1), report=fresh)

    assert scene.request["id"] == "rain-2"


def test_there_are_at_most_so_many_requests_in_30_days():
    scene = Scene(retrain=RETRAIN | {"cooldown": "1s", "maxPer30d": 2})
    answers = []
    for number in (1, 2, 3):
        scene.see(MINUTE, report=drifting(number))
        if scene.request:
            answers.append(an_answer(scene.request["id"], "Failed"))
            scene.see(MINUTE, answers=tuple(answers))

    assert [answer.token for answer in answers] == ["rain-1", "rain-2"]
    assert "maxPer30d is reached" in scene.status["summary"]
    scene.see(timedelta(days=30))
    assert scene.request["id"] == "rain-3"
    assert len(scene.status["retrains"]) == 1


def test_a_report_about_the_version_before_asks_for_nothing():
    scene = Scene()
    scene.see(deployment=scene.deployment(served=V2), report=drifting())

    assert scene.request is None


def test_the_monitor_may_be_silent_for_a_moment():
    scene = seen()

    scene.see(report=None)
    assert (scene.truths()["Ready"], scene.truths()["Available"]) == ("True", "False")
    assert scene.phase == "Stable"
    assert scene.after == timedelta(seconds=30)
    scene.see(timedelta(minutes=3))
    assert scene.truths()["Ready"] == "False"
    scene.see(report=a_report())
    assert scene.truths()["Ready"] == "True"


def test_a_silent_monitor_does_not_stop_a_request():
    scene = seen(report=drifting())
    scene.see(report=None, answers=(blessed(),))

    assert scene.phase == "Validating"


def test_an_idle_monitor_costs_no_writes():
    scene = Scene()
    for minute in range(30):
        at = NOON + minute * MINUTE
        window = a_window(WindowState.INSUFFICIENT_DATA, rows=minute % 3, at=at)
        scene.see(MINUTE, report=a_report(at=at, windows=(window,), pods=minute))

    assert scene.writes == 1


def test_a_busy_monitor_costs_one_write_a_window():
    scene = Scene()
    for look in range(30):
        at = NOON + (look // 6) * MINUTE
        scene.see(report=a_report(at=NOON, windows=(a_window(at=at),), rows_total=look * 100))

    assert scene.writes == 5


def test_looking_again_follows_the_shortest_window():
    assert seen().after == timedelta(seconds=10)
    assert seen(spec={"windows": ["24h", "1h"]}).after == timedelta(seconds=30)
    assert seen(deployment=None, report=None).after is None


STATES = st.sampled_from(list(EpisodeState))
STEPS = st.lists(
    st.tuples(
        st.booleans(),  # a new episode begins
        STATES,
        st.sampled_from(
            [None, "Pending", "Running", "Suppressed", "Failed", "Rejected", "Blessed"]
        ),
        st.booleans(),  # bad data
        st.booleans(),  # a rollout is under way
        st.sampled_from([timedelta(seconds=10), timedelta(minutes=61)]),
        st.booleans(),  # the operator crashes before it writes the status
    ),
    max_size=25,
)


@settings(max_examples=50, deadline=None)
@given(STEPS)
def test_whatever_happens_one_run_is_asked_for_an_episode(steps):
    scene = Scene(retrain=RETRAIN | {"maxPer30d": 100})
    number, asked, ran = 1, {}, set()
    for is_new, state, verdict, bad, rolling, later, crashes in steps:
        number += is_new
        before = scene.status
        had = scene.request if before else None
        report = replace(
            drifting(), episode=an_episode(number, state), quality=(a_problem(),) if bad else ()
        )
        answers = scene.world.answers
        if had and verdict and had["id"] not in ran:
            answers = _answered(answers, had["id"], verdict)
            if verdict not in ("Pending", "Suppressed"):
                ran.add(had["id"])
        scene.see(
            later,
            report=report,
            answers=answers,
            deployment=scene.deployment(in_rollout=rolling),
        )
        request = scene.request
        if request and request != had:
            assert had is None
            assert state is EpisodeState.DRIFTING
            assert not bad
            assert not rolling
            assert request["episode"] == number
            asked.setdefault(request["id"], request["episode"])
        if crashes and before is not None:
            scene.status = before
        again = plan.decide(a_monitor(scene.status, **scene.spec), scene.world)
        settled = plan.decide(a_monitor(again.status, **scene.spec), scene.world)
        assert settled.status == again.status
        assert settled.actions == ()
        scene.status = again.status
    episodes = [asked[token] for token in ran if token in asked]
    assert len(episodes) == len(set(episodes))


def _answered(answers, token, verdict):
    rest = tuple(a for a in answers if a.token != token)
    if verdict in ("Rejected", "Blessed"):
        answer = an_answer(token, "Succeeded", reason=verdict, verdict=verdict, version=2)
    else:
        answer = an_answer(token, verdict)
    return (*rest, answer)


def test_a_deployment_that_goes_ends_the_request():
    scene = seen(report=drifting())

    scene.see(answers=(blessed(),), deployment=None, report=None)

    assert (scene.last["outcome"], scene.last["reason"]) == ("NotPromoted", "DeploymentNotFound")
    assert scene.phase == "Waiting"


def test_a_training_that_goes_is_missed_while_it_is_asked():
    scene = seen(report=drifting())

    scene.see(has_training=False)

    assert scene.phase == "RetrainRequested"
    assert scene.condition("Stalled")["reason"] == "TrainingNotFound"
