"""The minimum-effect test against its oracle and against simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from modelyard_monitor import psi

COUNTS = st.lists(st.integers(0, 500), min_size=2, max_size=12)


def shares_at(effect: float, cells: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Equal reference shares, and live ones with exactly this PSI."""
    reference = np.full(cells, 1 / cells)
    tilt = np.linspace(-1, 1, cells)
    low, high = 0.0, 3.0
    for _ in range(80):
        middle = (low + high) / 2
        live = reference * np.exp(middle * tilt)
        live /= live.sum()
        value = np.sum((live - reference) * np.log(live / reference))
        low, high = (middle, high) if value < effect else (low, middle)
    return reference, live


def rejections(effect: float, true: float, n: int, alpha: float, trials: int = 20_000) -> float:
    """The share of windows in which the test finds more than `effect`."""
    random = np.random.default_rng(7)
    m = 10_000
    p, q = shares_at(true)
    reference, live = random.multinomial(m, p, trials), random.multinomial(n, q, trials)
    smoothed_p = (reference + 0.5) / (m + 5)
    smoothed_q = (live + 0.5) / (n + 5)
    values = np.sum((smoothed_q - smoothed_p) * np.log(smoothed_q / smoothed_p), axis=1)
    s = 1 / n + 1 / m
    return float(np.mean(stats.ncx2.sf(values / s, 9, effect / s) <= alpha))


@pytest.mark.parametrize("n", [200, 1_000, 20_000])
def test_at_the_boundary_the_test_keeps_its_level(n):
    assert rejections(0.05, 0.05, n, alpha=0.05) == pytest.approx(0.05, abs=0.012)


@pytest.mark.parametrize("n", [200, 1_000, 20_000])
def test_without_change_the_test_is_silent(n):
    assert rejections(0.05, 0.0, n, alpha=0.01) < 0.01


@pytest.mark.parametrize(("n", "least"), [(1_000, 0.3), (5_000, 0.97)])
def test_a_change_of_twice_the_effect_is_found(n, least):
    assert rejections(0.05, 0.1, n, alpha=1e-3) > least


def test_zero_effect_is_the_central_chi_square():
    reference, live = np.array([4_000, 3_000, 3_000]), np.array([420, 290, 290])
    found = psi.measure(reference, live)
    (p_value,) = psi.p_values([found], 0.0)
    s = 1 / 1_000 + 1 / 10_000

    assert p_value == pytest.approx(stats.chi2.sf(found.psi / s, 2))
    homogeneity = stats.chi2_contingency([reference, live], correction=False).pvalue
    assert p_value == pytest.approx(homogeneity, rel=0.05)


@given(COUNTS)
def test_a_sample_has_not_moved_from_itself(counts):
    sample = np.array(counts)

    assert psi.psi(sample, sample) == 0.0


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=2, max_size=12))
def test_swapping_the_samples_changes_nothing(pairs):
    one, other = np.array(pairs).T

    assert psi.psi(one, other) == pytest.approx(psi.psi(other, one))
    assert psi.psi(one, other) >= 0.0


@given(COUNTS, COUNTS)
def test_pooling_loses_no_row(reference, live):
    size = min(len(reference), len(live))
    before = np.array(reference[:size]), np.array(live[:size])

    after = psi.pooled(*before)

    assert [cells.sum() for cells in after] == [cells.sum() for cells in before]
    assert len(after[0]) == len(after[1])


def test_cells_that_expect_less_than_a_row_are_pooled():
    reference = np.array([5_000, 4_990, 4, 3, 3])

    cells, live = psi.pooled(reference, np.array([50, 48, 1, 1, 0]))

    assert cells.tolist() == [5_000, 5_000]
    assert live.tolist() == [50, 50]


@pytest.mark.parametrize(
    ("reference", "live"),
    [([0, 0], [5, 5]), ([5, 5], [0, 0]), ([10], [10])],
    ids=["no-reference", "no-rows", "one-cell"],
)
def test_what_cannot_be_compared_has_not_moved(reference, live):
    found = psi.measure(np.array(reference), np.array(live))

    assert psi.p_values([found], 0.05) == [1.0]


def test_more_rows_of_a_harmless_change_do_not_alarm():
    p, q = shares_at(0.02)

    found = psi.measure((p * 1e7).astype(int), (q * 1e7).astype(int))

    assert psi.p_values([found], 0.05) == [1.0]
    assert found.psi == pytest.approx(0.02, rel=0.01)
