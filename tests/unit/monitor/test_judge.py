"""What a closed window says."""

import numpy as np
import pytest

from modelyard_core.watch import WindowState
from modelyard_monitor.grid import Span
from modelyard_monitor.judge import judge
from modelyard_monitor.layout import Layout
from support import drift

PROFILE = drift.a_profile(features=3)
LAYOUT = Layout.of(PROFILE)
SPAN = Span(60, 1_767_268_860)


def judged(rows=500, *, seed=5, shift=0.0, columns=None, profile=PROFILE, **watch):
    batch = drift.a_batch(profile, rows, np.random.default_rng(seed), shift, columns)
    layout = Layout.of(profile)
    return judge(drift.a_watch(**watch), profile, layout, SPAN, layout.vector(batch))


def constant(value, rows=500):
    return [value] * rows


def test_rows_like_the_reference_are_calm():
    found = judged()

    assert found.finding.state is WindowState.CALM
    assert found.tested
    assert found.quiet
    assert not found.hit
    assert found.finding.rows == 500
    assert len(found.finding.features) == 4


def test_too_few_rows_say_nothing():
    found = judged(99, shift=5.0)

    assert found.finding.state is WindowState.INSUFFICIENT_DATA
    assert not found.tested
    assert found.finding.features == ()
    assert found.finding.prediction is None


def test_a_shifted_feature_is_found_and_named():
    found = judged(shift=1.5)

    assert found.finding.state is WindowState.DRIFT
    top, *others = found.finding.features
    assert (top.name, top.drifting) == ("x0", True)
    assert top.psi > 1.0
    assert top.p_value < top.alpha
    assert "above 1.2" in top.moved
    assert "(reference 10 %)" in top.moved
    assert not any(each.drifting for each in others)


def test_a_shifted_category_is_found_and_named():
    found = judged(columns={"city": ["oslo"] * 450 + ["berlin"] * 50})

    top = found.finding.features[0]
    assert (top.name, top.drifting) == ("city", True)
    assert top.moved.startswith("90 % are 'oslo' (reference 40 %)")


def test_shifted_predictions_are_found():
    random = np.random.default_rng(5)
    batch = drift.a_batch(PROFILE, 500, random)
    scores = drift.count_numeric(PROFILE.prediction, random.uniform(0.6, 1.0, 500))
    vector = LAYOUT.vector(batch)
    vector[LAYOUT.prediction.begin : LAYOUT.prediction.begin + 10] = scores.bins

    found = judge(drift.a_watch(), PROFILE, LAYOUT, SPAN, vector)

    assert found.hit
    assert found.finding.prediction.drifting
    assert found.finding.prediction.name == "prediction"


def test_an_excluded_feature_is_not_tested():
    found = judged(shift=1.5, exclude=("x0",))

    assert found.finding.state is WindowState.CALM
    assert "x0" not in [each.name for each in found.finding.features]


def test_a_drift_below_the_effect_that_is_above_half_of_it_is_neither_hit_nor_quiet():
    found = judged(50_000, shift=0.20, min_rows=200)

    assert 0.025 < found.finding.features[0].psi < 0.05
    assert found.finding.state is WindowState.CALM
    assert not found.quiet


@pytest.mark.parametrize(
    ("columns", "kind", "sentence"),
    [
        pytest.param(
            {"x1": [np.nan] * 100 + [0.1, -0.5, 0.9, 1.5] * 100},
            "Missing",
            "x1: 20 % of the values are missing (reference 0 %)",
            id="missing",
        ),
        pytest.param(
            {"x1": constant(500.0)},
            "OutOfRange",
            "x1: 100 % of the values lie outside",
            id="another-unit",
        ),
        pytest.param(
            {"x1": constant(0.01)}, "Constant", "x1: every value is in ", id="stuck-sensor"
        ),
    ],
)
def test_bad_data_is_named_and_is_no_evidence_of_drift(columns, kind, sentence):
    found = judged(columns=columns)

    assert found.finding.state is WindowState.DATA_QUALITY
    assert not found.tested
    (problem,) = found.problems
    assert (problem.feature, problem.kind, problem.blocking) == ("x1", kind, True)
    assert problem.sentence.startswith(sentence)


@pytest.mark.parametrize(
    ("policy", "state", "problems"),
    [
        ("Block", WindowState.DATA_QUALITY, [("NewCategories", True)]),
        ("Warn", WindowState.CALM, [("NewCategories", False)]),
        ("Ignore", WindowState.CALM, []),
    ],
)
def test_new_categories_do_what_the_policy_says(policy, state, problems):
    cities = ["berlin"] * 299 + ["oslo"] * 195 + ["paris"] * 6

    found = judged(columns={"city": cities}, new_categories=policy)

    assert found.finding.state is state
    assert [(each.kind, each.blocking) for each in found.problems] == problems


def test_one_new_category_is_no_problem():
    cities = ["berlin"] * 299 + ["oslo"] * 200 + ["paris"]

    assert judged(columns={"city": cities}, new_categories="Block").problems == ()


def test_some_values_outside_the_range_are_drift_and_not_bad_data():
    values = np.concatenate([np.full(150, 9.0), np.random.default_rng(2).normal(size=350)])

    found = judged(columns={"x1": values})

    assert found.finding.state is WindowState.DRIFT
    assert found.problems == ()


def test_a_feature_whose_values_are_missing_is_not_tested_for_drift():
    values = np.concatenate([np.full(420, np.nan), np.full(80, 3.0)])

    found = judged(columns={"x1": values}, max_missing_increase=0.9)

    assert "x1" not in [each.name for each in found.finding.features]
