"""Vectors, buckets, windows."""

import doctest
import pkgutil
from importlib import import_module

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import modelyard_monitor
from modelyard_core.errors import ShapeError
from modelyard_monitor import grid
from modelyard_monitor.layout import Layout, pack, rows, unpack
from support import drift

PROFILE = drift.a_profile()
LAYOUT = Layout.of(PROFILE)


@pytest.mark.parametrize(
    "module", [m.name for m in pkgutil.iter_modules(modelyard_monitor.__path__) if m.name[0] != "_"]
)
def test_the_examples_in_the_docstrings_hold(module):
    assert doctest.testmod(import_module(f"modelyard_monitor.{module}")).failed == 0


def test_a_sketch_survives_the_vector():
    random = np.random.default_rng(3)
    batch = drift.a_batch(PROFILE, 50, random, columns={"x1": [np.nan] * 50})

    vector = unpack(pack(LAYOUT.vector(batch)))

    assert rows(vector) == 50
    for column in LAYOUT.features:
        counts = LAYOUT.counts(vector, column)
        assert tuple(counts.bins) == batch.features[column.name].bins
        assert counts.missing == batch.features[column.name].missing
    assert LAYOUT.counts(vector, LAYOUT.features[1]).present == 0
    assert tuple(LAYOUT.counts(vector, LAYOUT.prediction).bins) == batch.prediction.bins


def test_a_sketch_of_another_profile_is_refused():
    other = drift.a_batch(drift.a_profile(bins=5), 10, np.random.default_rng(3))
    fewer = drift.a_batch(drift.a_profile(features=1), 10, np.random.default_rng(3))

    with pytest.raises(ShapeError, match="'x0' has 5 bins where the profile has 10"):
        LAYOUT.vector(other)
    with pytest.raises(ShapeError, match="no feature 'x1'"):
        LAYOUT.vector(fewer)


@given(st.lists(st.integers(1, 43_200), min_size=1, max_size=6))
def test_every_window_is_a_whole_number_of_buckets(minutes):
    windows = [60 * each for each in minutes]
    bucket = grid.bucket_seconds(windows)

    assert 60 <= bucket <= 300
    assert all(window % bucket == 0 for window in windows)


@given(
    st.lists(st.integers(0, 400), max_size=30, unique=True),
    st.sampled_from([60, 120, 300]),
    st.lists(st.floats(0, 30_000), max_size=6),
)
def test_every_bucket_is_in_exactly_one_closed_window(minutes, seconds, looks):
    starts = sorted(60 * minute for minute in minutes)
    after, spans = 0, []
    for now in [*sorted(looks), 40_000.0]:
        seen = [start for start in starts if start < now]
        fresh = grid.closed(seen, seconds, after, now)
        spans += fresh
        after = max([after, *(span.end for span in fresh)])

    ends = [span.end for span in spans]
    assert ends == sorted(set(ends))
    for start in starts:
        assert sum(span.start <= start < span.end for span in spans) == 1
    assert all(end <= 40_000 for end in ends)
