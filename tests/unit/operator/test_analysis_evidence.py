"""The statistics keep what they promise, by simulation with fixed seeds and by laws."""

from math import exp, inf, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard_operator.model_deployment import evidence
from modelyard_operator.model_deployment.evidence import NOTHING, Tally

ALPHA = 0.05
TARGET = -log(ALPHA)
MARGIN = 2.0
TOLERANCE = 0.01


class Arm:
    """Poisson requests an interval, each bad with a fixed chance."""

    def __init__(self, rng, pace, bad):
        self.rng, self.pace, self.bad = rng, pace, bad

    def interval(self):
        requests = int(self.rng.poisson(self.pace))
        return Tally(requests, int(self.rng.binomial(requests, self.bad)))


def run(rng, *, canary, stable, pace=60, share=0.1, looks=120, needed=300, tolerance=TOLERANCE):
    """Return what a rollout decides when it looks after every interval, and after how many."""
    ours = Arm(rng, pace, canary)
    theirs = Arm(rng, pace * (1 - share) / share, stable)
    harm, ratio, total = evidence.no_harm(), 0, NOTHING
    for look in range(1, looks + 1):
        one, other = ours.interval(), theirs.interval()
        harm = evidence.add_harm(harm, one, other)
        ratio = evidence.add_ratio(ratio, MARGIN, one, other)
        total += one
        if evidence.log_harm(harm) >= TARGET:
            return "fail", look
        enough = total.requests >= needed
        if enough and evidence.log_pass(ratio, tolerance, total) >= TARGET:
            return "pass", look
    return "undecided", looks


def shares(runs, **world):
    rng = np.random.default_rng(7)
    found = [run(rng, **world)[0] for _ in range(runs)]
    return {word: found.count(word) / runs for word in ("pass", "fail", "undecided")}


def harm_alarms(runs, rate, looks):
    """Return the share of equally good candidates that are ever called worse."""
    rng = np.random.default_rng(11)
    alarms = 0
    for _ in range(runs):
        ours, theirs = Arm(rng, 60, rate), Arm(rng, 540, rate)
        harm = evidence.no_harm()
        for _ in range(looks):
            harm = evidence.add_harm(harm, ours.interval(), theirs.interval())
            if evidence.log_harm(harm) >= TARGET:
                alarms += 1
                break
    return alarms / runs


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.001, 0.01, 0.1])
def test_an_equal_candidate_is_called_worse_less_often_than_promised(rate):
    assert harm_alarms(400, rate, looks=120) <= ALPHA


def test_traffic_waves_and_weight_changes_raise_no_alarm():
    rng = np.random.default_rng(5)
    alarms = 0
    for _ in range(300):
        harm = evidence.no_harm()
        for look in range(60):
            share, rate = (0.05, 0.25, 0.5)[look // 20], 0.01 + 0.05 * (look % 20 > 15)
            total = 600 + 500 * (look % 7)
            one, other = Arm(rng, total * share, rate), Arm(rng, total * (1 - share), rate)
            harm = evidence.add_harm(harm, one.interval(), other.interval())
            if evidence.log_harm(harm) >= TARGET:
                alarms += 1
                break
    assert alarms / 300 <= ALPHA


@pytest.mark.parametrize(("canary", "least"), [(0.03, 0.95), (0.05, 0.99), (0.2, 1.0)])
def test_a_worse_candidate_is_turned_back(canary, least):
    assert shares(150, canary=canary, stable=0.01)["fail"] >= least


def test_a_grossly_worse_candidate_is_found_at_once():
    rng = np.random.default_rng(3)
    decisions = [run(rng, canary=0.2, stable=0.01) for _ in range(100)]

    assert all(word == "fail" for word, _ in decisions)
    assert np.median([look for _, look in decisions]) <= 2


def test_an_equal_candidate_passes():
    found = shares(150, canary=0.01, stable=0.01, looks=240)

    assert found["pass"] >= 0.9
    assert found["fail"] <= ALPHA


def test_a_candidate_beyond_margin_and_tolerance_passes_less_often_than_promised():
    assert shares(200, canary=0.024, stable=0.012, needed=20)["pass"] <= ALPHA


def test_a_flawless_candidate_passes_although_there_is_nothing_to_compare():
    rng = np.random.default_rng(1)
    word, look = run(rng, canary=0.0, stable=0.0)

    assert word == "pass"
    assert 300 <= look * 60 <= 480


def test_without_requests_nothing_is_shown():
    assert evidence.log_pass(0, TOLERANCE, NOTHING) == 0.0
    assert evidence.log_harm(evidence.no_harm()) == 0.0
    assert evidence.requests_until_pass(0, TOLERANCE, NOTHING, TARGET) is None


@pytest.mark.parametrize("arm", [Tally(100, 100), Tally(100, 0)])
def test_an_interval_without_the_other_arm_shows_nothing(arm):
    assert evidence.add_harm(evidence.no_harm(), arm, NOTHING) == evidence.no_harm()
    assert evidence.add_ratio(0, MARGIN, NOTHING, arm) == 0


tallies = st.integers(0, 10_000).flatmap(lambda n: st.integers(0, n).map(lambda bad: Tally(n, bad)))


@given(tallies, tallies)
def test_evidence_is_always_a_number(canary, stable):
    harm = evidence.log_harm(evidence.add_harm(evidence.no_harm(), canary, stable))
    good = evidence.log_pass(evidence.add_ratio(0, MARGIN, canary, stable), TOLERANCE, canary)

    assert -inf < harm < inf
    assert -inf < good < inf


@given(tallies, tallies)
def test_more_bad_events_of_the_candidate_never_help_it(canary, stable):
    if canary.bad == canary.requests:
        return
    worse = Tally(canary.requests, canary.bad + 1)
    none = evidence.no_harm()

    assert evidence.log_harm(evidence.add_harm(none, worse, stable)) >= evidence.log_harm(
        evidence.add_harm(none, canary, stable)
    )
    assert evidence.log_pass(0, TOLERANCE, worse) <= evidence.log_pass(0, TOLERANCE, canary)


@given(tallies)
def test_the_evidence_of_harm_is_fair_for_one_bad_event(stable):
    """Whoever has it, on average the evidence stays where it was: it is a martingale."""
    if not stable.requests:
        return
    canary = Tally(50, 0)
    share = 50 / (50 + stable.requests)
    none = evidence.no_harm()
    ours = exp(evidence.log_harm(evidence.add_harm(none, Tally(50, 1), Tally(stable.requests))))
    theirs = exp(evidence.log_harm(evidence.add_harm(none, canary, Tally(stable.requests, 1))))

    assert share * ours + (1 - share) * theirs == pytest.approx(1.0, abs=1e-4)


def test_the_outlook_is_the_number_of_requests_that_suffices():
    expected = evidence.requests_until_pass(0, TOLERANCE, Tally(100, 0), TARGET)

    assert expected is not None
    assert evidence.log_pass(0, TOLERANCE, Tally(expected, 0)) >= TARGET
    assert evidence.log_pass(0, TOLERANCE, Tally(int(expected * 0.85), 0)) < TARGET


def test_an_always_failing_candidate_has_no_outlook():
    assert evidence.requests_until_pass(0, TOLERANCE, Tally(100, 100), TARGET) is None


@pytest.mark.parametrize(
    ("canary", "expected"),
    [
        pytest.param(Tally(19, 19), False, id="too-few"),
        pytest.param(Tally(20, 20), True, id="only-failures"),
        pytest.param(Tally(40, 20), False, id="just-half"),
        pytest.param(Tally(40, 21), True, id="more-than-half"),
    ],
)
def test_gross_failure(canary, expected):
    assert evidence.is_gross(canary) is expected
