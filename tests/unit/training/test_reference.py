"""The reference profile: laws of its bins, and that its own data never looks like drift."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard_core import fourier
from modelyard_core.reference import bin_of
from modelyard_core.runs import Feature
from modelyard_training import reference

NUMBERS = st.lists(
    st.one_of(st.floats(-1e6, 1e6, width=32), st.sampled_from([0.0, 1.0]), st.just(float("nan"))),
    min_size=1,
    max_size=400,
)


@given(NUMBERS)
def test_every_value_is_counted_once_where_a_serving_pod_would_count_it(values):
    cells = np.asarray(values, dtype=np.float32)

    profile = reference.numeric_profile("x", cells)

    counts = [0] * (len(profile.edges) + 1)
    for cell in cells[~np.isnan(cells)]:
        counts[bin_of(profile.edges, float(cell))] += 1
    assert list(profile.counts) == counts
    assert profile.missing == int(np.isnan(cells).sum())
    assert list(profile.edges) == sorted(set(profile.edges))


@given(NUMBERS)
def test_no_bin_is_empty(values):
    cells = np.asarray(values, dtype=np.float32)
    if np.isnan(cells).all():
        return

    assert min(reference.numeric_profile("x", cells).counts) > 0


def test_a_plain_column_has_ten_even_bins():
    cells = np.random.default_rng(0).normal(size=5000).astype(np.float32)

    profile = reference.numeric_profile("x", cells)

    assert len(profile.counts) == 10
    assert max(profile.counts) - min(profile.counts) <= 1


def test_few_rows_make_few_bins():
    cells = np.random.default_rng(0).normal(size=200).astype(np.float32)

    assert len(reference.numeric_profile("x", cells).counts) == 4


def test_each_value_of_a_discrete_column_has_its_bin():
    cells = np.repeat(np.asarray([3.0, 1.0, 2.0], np.float32), [100, 200, 300])

    assert reference.numeric_profile("x", cells).counts == (200, 300, 100)


def test_a_value_that_many_rows_share_is_alone_in_its_bin():
    dice = np.random.default_rng(0)
    cells = np.concatenate([np.zeros(4000), dice.normal(0, 1, 6000)]).astype(np.float32)

    profile = reference.numeric_profile("x", cells)

    assert profile.counts[bin_of(profile.edges, 0.0)] == 4000


def test_rare_categories_are_other_and_unseen_ones_are_not():
    cells = np.asarray(["a"] * 3000 + ["b"] * 2000 + ["rare"] * 2 + [""] * 5, dtype=object)

    profile = reference.category_profile("x", cells)

    assert (profile.categories, profile.other) == (("a", "b"), ("rare",))
    assert (profile.counts, profile.missing) == ((3000, 2000, 2), 5)


def test_features_come_from_training_rows_and_scores_from_the_holdout():
    frame = pd.DataFrame(
        {
            "t": np.arange(600, dtype=np.float32),
            "c": np.asarray(["a", "b"] * 300, dtype=object),
        }
    )
    scores = np.linspace(0, 1, 250, dtype=np.float32)

    profile = reference.build_profile(
        (Feature("t", "Float"), Feature("c", "Category")), frame, scores
    )

    assert (
        profile.rows == sum(profile.numeric[0].counts) == sum(profile.categories[0].counts) == 600
    )
    assert sum(profile.prediction.counts) == 250


@pytest.mark.parametrize("shape", ["normal", "lognormal", "discrete", "zero-inflated"])
def test_a_fresh_sample_of_the_same_world_keeps_the_shares(shape):
    dice = np.random.default_rng(3)

    def sample(n):
        values = {
            "normal": lambda: dice.normal(size=n),
            "lognormal": lambda: dice.lognormal(size=n),
            "discrete": lambda: dice.integers(0, 6, n),
            "zero-inflated": lambda: np.where(dice.random(n) < 0.4, 0, dice.gamma(2, size=n)),
        }[shape]()
        return np.asarray(values, dtype=np.float32)

    profile = reference.numeric_profile("x", sample(8000))
    live = np.zeros(len(profile.counts))
    for cell in sample(2000):
        live[bin_of(profile.edges, float(cell))] += 1

    p = (np.asarray(profile.counts) + 0.5) / (8000 + 0.5 * len(live))
    q = (live + 0.5) / (2000 + 0.5 * len(live))
    psi = float(((q - p) * np.log(q / p)).sum())
    expected = (len(live) - 1) * (1 / 8000 + 1 / 2000)
    assert psi < 4 * expected


def test_fourier_features_are_those_of_the_definition_and_missing_cells_are_the_mean():
    dice = np.random.default_rng(5)
    frame = pd.DataFrame(
        {
            "x": dice.normal(3, 2, 300).astype(np.float32),
            "y": np.where(dice.random(300) < 0.1, np.nan, dice.lognormal(size=300)),
            "empty": np.full(300, np.nan),
            "same": np.full(300, 7.0),
        }
    ).astype(np.float32)
    columns = tuple(reference.numeric_profile(name, frame[name].to_numpy()) for name in frame)

    profile = reference.fourier_profile(columns, frame)

    assert (profile.columns, profile.rows) == (("x", "y", "same"), 300)
    used = [columns[0], columns[1], columns[3]]
    weights = [
        fourier.weights(profile.seed, each.name, profile.distance, fourier.FREQUENCIES)
        for each in used
    ]
    offsets = fourier.offsets(profile.seed, fourier.FREQUENCIES)
    rows = reference.standardised(used, frame[["x", "y", "same"]]).astype(int).tolist()
    features = np.array([fourier.features(row, weights, offsets) for row in rows])
    assert list(profile.sums) == features.sum(axis=0).tolist()
    covariance = np.cov(features.T / fourier.AMPLITUDE, bias=True)
    eigenvalues = np.linalg.eigvalsh(covariance)
    powers = [(eigenvalues**power).sum() for power in (1, 2, 3)]
    assert profile.spread == pytest.approx(powers, rel=1e-6)
    assert {row[2] for row in rows} == {0}
    missing = np.flatnonzero(np.isnan(frame["y"]))
    assert {rows[i][1] for i in missing} == {0}


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_few_rows_have_fourier_features_or_none(rows):
    frame = pd.DataFrame({"x": np.arange(rows, dtype=np.float32)})
    column = reference.numeric_profile("x", frame["x"].to_numpy())

    profile = reference.fourier_profile((column,), frame)

    assert (profile is None) == (rows == 0)
    assert reference.fourier_profile((), frame) is None


@pytest.mark.parametrize(("at", "width"), [(0.0, 1e-6), (1e6, 100.0), (-3e-5, 1e3)])
def test_mean_and_scale_make_standardised_values(at, width):
    cells = (np.random.default_rng(1).normal(size=4000) * width + at).astype(np.float32)

    profile = reference.numeric_profile("x", cells)

    values = reference.standardised([profile], pd.DataFrame({"x": cells})) / fourier.UNITS
    assert abs(values.mean()) < 1e-3
    assert values.std() == pytest.approx(1, abs=1e-3)
