"""Random Fourier features: the definition, and that a distance of means says what it should."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from modelyard_core import fourier
from modelyard_core.reference import FourierProfile
from modelyard_serving.counting import FOURIER_ROWS, Features

COLUMNS = ("temp", "wind", "rain")
PROFILE = FourierProfile(COLUMNS, 1, 2.4, 1, (0,) * fourier.FREQUENCIES, (0.0, 0.0, 0.0))
rows = st.lists(
    st.tuples(*[st.integers(-fourier.CLIP * fourier.UNITS, fourier.CLIP * fourier.UNITS)] * 3),
    min_size=1,
    max_size=8,
)


FEATURES = Features(PROFILE, COLUMNS)
WEIGHTS = [fourier.weights(1, column, 2.4, fourier.FREQUENCIES) for column in COLUMNS]
OFFSETS = fourier.offsets(1, fourier.FREQUENCIES)


def sums(table, features=FEATURES):
    """Return the sums over z · UNITS, [columns, rows]."""
    with_ones = np.vstack([table, np.ones(table.shape[1])])
    pieces = range(0, table.shape[1], FOURIER_ROWS)
    return sum(features.sums(with_ones[:, begin : begin + FOURIER_ROWS]) for begin in pieces)


def by_definition(table):
    found = [fourier.features(row, WEIGHTS, OFFSETS) for row in table]
    return np.array(found).sum(axis=0).tolist()


@given(rows)
def test_sums_over_arrays_are_those_of_the_definition_to_the_last_digit(table):
    found = sums(np.array(table, dtype=np.float64).T)

    assert found.tolist() == by_definition(table)


def test_the_sums_of_a_whole_piece_are_exact_where_they_are_largest():
    # The mean of every column: each feature's phase is its offset, in every row.
    found = sums(np.zeros((3, FOURIER_ROWS)))

    assert found.tolist() == [FOURIER_ROWS * each for each in by_definition([(0, 0, 0)])]


def test_a_columns_weights_do_not_depend_on_its_place():
    table = np.random.default_rng(1).integers(-4096, 4096, (3, 50)).astype(np.float64)
    moved = ("rain", "temp", "wind")

    there = sums(table[[2, 0, 1]], Features(PROFILE, moved))

    assert there.tolist() == sums(table).tolist()


def test_weights_are_normal_and_offsets_even():
    weights = np.array(fourier.weights(7, "temp", 1.0, 3000), dtype=float)[1::3]
    turns = weights * fourier.UNITS / 2.0**fourier.TURN_BITS * 2 * np.pi
    offsets = np.array(fourier.offsets(7, 3000)) / 2.0**fourier.TURN_BITS

    assert stats.kstest(turns, "norm").pvalue > 0.01
    assert stats.kstest(offsets, "uniform").pvalue > 0.01


def mean_vector(values):
    standardised = np.clip(np.rint(values * fourier.UNITS), -8192, 8192)
    return sums(standardised) / values.shape[1] / fourier.AMPLITUDE


def p_value(window, reference, spread, rows_of_both):
    """Return the probability of so large a distance between two samples of one distribution.

    Three moments of a weighted sum of chi-squares: P. Hall (1983), M. Buckley and G. Eagleson (1988).
    """
    scale = sum(1 / n for n in rows_of_both)
    first, second, third = spread
    freedom = second**3 / third**2
    distance = ((window - reference) ** 2).sum() / scale
    standard = (distance - first) / np.sqrt(2 * second)
    return float(stats.chi2.sf(standard * np.sqrt(2 * freedom) + freedom, freedom))


@pytest.fixture(scope="module")
def world():
    """The mean vector of a large sample, and the traces of the covariance's powers."""
    random = np.random.default_rng(3)
    sample = random.normal(size=(3, 20_000))
    each = [sums(np.rint(row[:, None] * fourier.UNITS)) for row in sample.T[:4000]]
    covariance = np.cov(np.array(each).T / fourier.AMPLITUDE)
    powers = [covariance, covariance @ covariance, covariance @ covariance @ covariance]
    return random, mean_vector(sample), [power.trace() for power in powers]


def test_a_window_of_the_same_world_is_rarely_far_and_a_change_of_correlation_always(world):
    random, reference, spread = world
    windows = [random.normal(size=(3, 500)) for _ in range(300)]
    joint = np.array([[1, 0.8, 0], [0.8, 1, 0], [0, 0, 1]])
    turned = random.multivariate_normal(np.zeros(3), joint, 2000).T

    calm = [p_value(mean_vector(w), reference, spread, (500, 20_000)) for w in windows]

    assert 0.01 < np.mean(np.array(calm) < 0.05) < 0.10
    assert p_value(mean_vector(turned), reference, spread, (2000, 20_000)) < 1e-4
