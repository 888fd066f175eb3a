"""The split: a row's side depends on its key and nothing else."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard_training import split

KEYS = st.lists(st.binary(min_size=1, max_size=8), min_size=1, max_size=60, unique=True)
FRACTIONS = st.floats(0.05, 0.95)


@given(KEYS, st.integers(0, 1000), FRACTIONS, st.randoms())
def test_a_row_stays_on_its_side_whatever_rows_are_around_it(keys, seed, fraction, random):
    sides = dict(zip(keys, split.hashed(keys, seed, fraction), strict=True))
    later = [*keys, b"a new row", b"another one"]
    random.shuffle(later)

    again = dict(zip(later, split.hashed(later, seed, fraction), strict=True))

    assert all(again[key] == side for key, side in sides.items())


@given(KEYS, st.integers(0, 1000), FRACTIONS, FRACTIONS)
def test_a_larger_holdout_contains_the_smaller(keys, seed, one, other):
    small, large = sorted((one, other))

    held_small, held_large = (split.hashed(keys, seed, each) for each in (small, large))

    assert not (held_small & ~held_large).any()


def test_the_holdout_has_about_the_share_asked_for():
    keys = [b"%d" % i for i in range(20_000)]

    assert split.hashed(keys, 42, 0.2).mean() == pytest.approx(0.2, abs=0.01)


@given(st.lists(st.integers(0, 30), min_size=2, max_size=80), st.floats(0.05, 0.95))
def test_the_newest_rows_are_held_out_and_one_moment_is_never_divided(moments, fraction):
    times = np.asarray(moments, dtype=np.float64)

    holdout = split.newest(times, fraction)

    assert holdout.mean() <= fraction + 1e-9
    if holdout.any():
        assert times[holdout].min() > times[~holdout].max()


def test_without_a_key_the_features_are_the_key():
    frame = pd.DataFrame(
        {
            "a": np.asarray([1.5, 1.5, -0.0, 0.0, np.nan, -np.nan], dtype=np.float32),
            "b": np.asarray(["x", "x", "", "", "y", "y"], dtype=object),
        }
    )

    rows = split.row_bytes(frame)

    assert rows[0] == rows[1] != rows[2] == rows[3] != rows[4] == rows[5]


@pytest.mark.parametrize(
    ("task", "truth", "classes", "judged"),
    [
        pytest.param("Classification", [0, 1] * 100, 2, True, id="enough"),
        pytest.param("Classification", [0, 1] * 99, 2, False, id="too-few-rows"),
        pytest.param("Classification", [0] * 500 + [1] * 19, 2, False, id="rare-class"),
        pytest.param("Classification", [0, 1] * 500, 3, False, id="absent-class"),
        pytest.param("Regression", [0.0] * 200, 0, True, id="regression"),
        pytest.param("Regression", [0.0] * 199, 0, False, id="small-regression"),
    ],
)
def test_which_holdout_can_judge(task, truth, classes, judged):
    assert (split.is_too_small(task, np.asarray(truth), classes) is None) == judged
