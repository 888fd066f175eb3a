"""Budget, Holm, shares: the levels of the tests add up to what was allowed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from modelyard_monitor import budget, shares

MONTH = 30 * 86_400


@pytest.mark.parametrize("scales", [(60,), (3_600, 4 * 3_600, 86_400, 7 * 86_400)])
def test_all_tests_of_a_month_spend_the_budget(scales):
    spent = sum(
        budget.window_level(0.5, MONTH, seconds, len(scales), group) * (MONTH / seconds)
        for seconds in scales
        for group in budget.GROUP_SHARES
    )

    assert spent == pytest.approx(0.5)


def test_a_generous_budget_does_not_make_a_loose_test():
    assert budget.window_level(100, 3_600, 3_600, 1, budget.FEATURES) == budget.MAX_LEVEL


@given(st.lists(st.floats(0, 1), min_size=1, max_size=10), st.floats(1e-6, 0.2))
def test_holm_rejects_what_the_definition_rejects(p_values, level):
    order = sorted(p_values)
    expected = 0
    for rank, p_value in enumerate(order):
        if p_value > level / (len(order) - rank):
            break
        expected += 1

    levels = budget.holm(p_values, level)
    rejected = sorted(p for p, at in zip(p_values, levels, strict=True) if p <= at)

    assert rejected == order[:expected]


def test_the_rule_of_three():
    assert shares.upper_limit(0, 10_000) == pytest.approx(3e-4, rel=0.01)
    assert shares.upper_limit(5, 5) == 1.0


def test_the_limit_is_clopper_pearson():
    interval = stats.binomtest(30, 1_000).proportion_ci(0.9, "exact")

    assert shares.upper_limit(30, 1_000) == pytest.approx(interval.high)


def test_growth_is_the_binomial_tail():
    oracle = stats.binomtest(40, 200, 0.1, alternative="greater").pvalue

    assert shares.grown(40, 200, 0.1) == pytest.approx(oracle)
    assert shares.grown(0, 0, 0.1) == 1.0
    assert shares.grown(200, 200, 1.0) == 1.0


def test_one_new_category_in_a_window_is_no_alarm():
    assert shares.grown(1, 1_000, shares.upper_limit(0, 10_000)) > 0.05
