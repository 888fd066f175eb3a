"""Rows over a profile's bins, against the definition in plain numbers."""

import dataclasses
import json
import math
import subprocess
import sys
from datetime import UTC, datetime

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard_core import fourier
from modelyard_core.reference import (
    CategoryProfile,
    FourierProfile,
    NumericProfile,
    Profile,
    bin_of,
)
from modelyard_core.roles import Role
from modelyard_core.signature import Signature, Tensor
from modelyard_serving.counting import COMPARED, MOST_BLOCK_ROWS, Numbers, Ruler, rounded
from modelyard_serving.errors import Unservable
from modelyard_serving.identity import Identity
from modelyard_serving.recorder import Recorder
from support.standardised import standardised

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
WHO = Identity("b00t", NOON, "rain", "1", "sha256:ab")
TEMP = NumericProfile("temp", (-1.0, 0.1, 1.0), (1, 1, 1, 1), 0, -3.0, 3.0, mean=0.1, scale=1.7)
WIND = NumericProfile("wind", (0.5,), (1, 1), 0, 0.0, 1.0, mean=1e6, scale=1e-3)
OLD = NumericProfile("old", (0.5,), (1, 1), 0, 0.0, 1.0)
FOURIER = FourierProfile(("temp", "wind"), 3, 2.0, 1, (0,) * 4, (1.0, 1.0, 1.0))
any_float = st.floats(allow_nan=True, allow_infinity=True)


@given(st.lists(st.tuples(any_float, any_float, any_float), max_size=8))
def test_sums_follow_the_definition(rows):
    profiles = {each.name: (each, "FP64") for each in (TEMP, WIND, OLD)}
    counted = Numbers(Ruler(profiles, FOURIER))

    values = np.array(rows, dtype=np.float64).reshape(-1, 3).T
    counted.add_bins(values)
    counted.add_sums(values)

    found = counted.counts()
    assert found["old"].sums is None
    table = [[standardised(TEMP, row[0]), standardised(WIND, row[1])] for row in rows]
    for place, profile in enumerate((TEMP, WIND)):
        column = [row[place] for row in table]
        assert found[profile.name].sums == (sum(column), sum(z * z for z in column))
        present = sum(not math.isnan(row[place]) for row in rows)
        assert (sum(found[profile.name].bins), found[profile.name].missing) == (
            present,
            len(rows) - present,
        )
    weights = [fourier.weights(3, name, 2.0, 4) for name in ("temp", "wind")]
    features = [fourier.features(row, weights, fourier.offsets(3, 4)) for row in table]
    assert counted.fourier() == tuple(sum(each) for each in zip((0,) * 4, *features, strict=True))


DTYPES = {"FP16": np.float16, "FP32": np.float32, "INT16": np.int16, "FP64": np.float64}
some_floats = st.floats(-70_000, 70_000) | st.sampled_from([0.1, 3.0, 3.0000001, 65_519.0])


@given(
    st.lists(
        st.tuples(
            st.sampled_from(sorted(DTYPES)),
            st.lists(some_floats, max_size=5),
            some_floats,
            some_floats,
        ),
        min_size=1,
        max_size=4,
    ),
    st.lists(any_float | some_floats, min_size=1, max_size=6),
    st.sampled_from([1, MOST_BLOCK_ROWS]),
    st.booleans(),
)
def test_bins_follow_the_definition_for_every_datatype(columns, values, times, has_many):
    profiles, table = {}, []
    for name, (datatype, edges, *ends) in enumerate(columns):
        many = range(1, COMPARED + 1) if has_many and name == 0 else ()
        ascending = tuple(sorted({*edges, *many}))
        profiles[str(name)] = (
            NumericProfile(str(name), ascending, (), 0, min(ends), max(ends)),
            datatype,
        )
        with np.errstate(all="ignore"):
            table.append(np.array(values).astype(DTYPES[datatype]))
    counted = Numbers(ruler := Ruler(profiles, None))

    counted.add_bins(np.repeat(np.array(table, ruler.dtype), times, axis=1))

    found = counted.counts()
    for (name, (profile, datatype)), column in zip(profiles.items(), table, strict=True):
        present = [float(value) for value in column if not np.isnan(value)]
        edges = rounded(profile.edges, datatype).tolist()
        low, high = rounded((profile.minimum, profile.maximum), datatype).tolist()
        bins = [0] * (len(edges) + 1)
        for value in present:
            bins[bin_of(edges, value)] += times
        assert found[name].bins == tuple(bins)
        assert found[name].missing == (len(values) - len(present)) * times
        assert found[name].out_of_range == sum(not low <= v <= high for v in present) * times


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"scheme": 2}, "a definition of later", id="another-scheme"),
        pytest.param({"columns": ("temp", "old")}, "no mean", id="a-column-without-a-mean"),
        pytest.param({"columns": ("temp", "fog")}, "no column", id="an-unknown-column"),
    ],
)
def test_features_that_cannot_be_computed_are_left_out(changes, reason):
    del reason
    profiles = {each.name: (each, "FP64") for each in (TEMP, OLD)}

    counted = Numbers(Ruler(profiles, dataclasses.replace(FOURIER, **changes)))

    assert counted.fourier() is None


def a_recorder(numeric, categories, inputs, score=("y", "FP32", (-1, 2))):
    prediction = NumericProfile("y", (0.5,), (1, 1), 0, 0.0, 1.0)
    profile = Profile(10, numeric, categories, prediction)
    tensors = tuple(Tensor(*each) for each in inputs)
    signature = Signature("Classification", tensors, (Tensor(*score),), (), score[0])
    return Recorder(WHO, signature, profile, lambda *_: None)


def test_columns_of_a_matrix_are_counted_where_they_are():
    counts = a_recorder(
        (
            dataclasses.replace(TEMP, input="x", index=2),
            dataclasses.replace(OLD, input="x", index=0),
            dataclasses.replace(WIND, mean=None),
        ),
        (CategoryProfile("city", ("oslo",), (1, 0), (), 0, "names", 1),),
        [("x", "FP32", (-1, 1, 3)), ("wind", "FP64", (-1,)), ("names", "BYTES", (-1, 2))],
    )
    table = np.array([[0.7, 9, -2], [0.2, 9, np.nan], [0.3, 9, 0.1]], np.float32)
    cities = np.array([["rome", "oslo"], ["rome", ""], ["rome", "rome"]], object)

    for rows in (slice(0, 1), slice(1, 3)):
        feeds = {
            "x": table[rows].reshape(-1, 1, 3),
            "wind": np.array([0.25, 0.75, 7.0])[rows],
            "names": cities[rows],
        }
        counts.record(Role.DIRECT, len(table[rows]), feeds, np.zeros((len(table[rows]), 2)))

    seen = counts.snapshot(NOON).roles["direct"]
    assert (seen.features["temp"].bins, seen.features["temp"].missing) == ((1, 1, 0, 0), 1)
    assert seen.features["old"].bins == (2, 1)
    assert (seen.features["wind"].bins, seen.features["wind"].out_of_range) == ((1, 2), 1)
    city = seen.features["city"]
    assert (city.bins, city.missing, city.new) == ((1, 0), 1, 1)


@pytest.mark.parametrize(
    ("datatype", "dtype", "bins"),
    [
        pytest.param("FP16", np.float16, (2, 2, 2), id="half"),
        pytest.param("BF16", ml_dtypes.bfloat16, (2, 2, 2), id="brain"),
        pytest.param("FP64", np.float64, (2, 2, 2), id="double"),
        pytest.param("INT64", np.int64, (4, 0, 2), id="whole"),
        pytest.param("UINT8", np.uint8, (4, 0, 2), id="byte"),
        pytest.param("BOOL", np.bool_, (2, 0, 4), id="truth"),
    ],
)
def test_every_datatype_is_counted_as_the_model_sees_it(datatype, dtype, bins):
    counts = a_recorder(
        (NumericProfile("x", (0.0, 0.1), (1, 1, 1), 0, 0.0, 1.0),), (), [("x", datatype, (-1, 1))]
    )
    values = np.array([[0.0], [0.1], [1.0]]).astype(dtype)

    counts.record(Role.DIRECT, 3, {"x": values}, np.zeros((3, 1), np.float32))
    for value in values:
        counts.record(Role.DIRECT, 1, {"x": value[None]}, np.zeros((1, 1), np.float32))

    found = counts.snapshot(NOON).roles["direct"].features["x"]
    assert (found.bins, found.out_of_range) == (bins, 0)


@pytest.mark.parametrize(
    ("column", "tensor", "sentence"),
    [
        pytest.param(("x", 3), ("x", "FP32", (-1, 3)), "no column of single", id="past-the-end"),
        pytest.param(("x", -1), ("x", "FP32", (-1, 3)), "no column of single", id="no-place"),
        pytest.param(("", -1), ("temp", "FP32", (-1, 3)), "no column of single", id="a-matrix"),
        pytest.param(("x", 0), ("x", "FP32", (-1, -1)), "no column of single", id="no-width"),
        pytest.param(("x", 0), ("x", "FP32", (4, 1)), "no column of single", id="no-rows"),
        pytest.param(("x", 0), ("x", "FP32", ()), "no column of single", id="a-scalar"),
        pytest.param(("x", 0), ("x", "BYTES", (-1, 1)), "'x' is BYTES", id="text"),
        pytest.param(("z", 0), ("x", "FP32", (-1, 1)), "'temp' is no input", id="no-input"),
    ],
)
def test_a_column_that_is_nowhere_is_refused(column, tensor, sentence):
    with pytest.raises(Unservable, match=sentence):
        a_recorder((dataclasses.replace(TEMP, input=column[0], index=column[1]),), (), [tensor])


def test_a_score_that_is_text_is_refused():
    with pytest.raises(Unservable, match="score 'y' is text"):
        a_recorder((), (), [("x", "FP32", (-1, 1))], score=("y", "BYTES", (-1,)))


@pytest.mark.slow
def test_products_need_no_other_thread():
    program = (
        "import modelyard_serving.counting, threadpoolctl, json;"
        "print(json.dumps(threadpoolctl.threadpool_info()))"
    )

    told = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)

    assert {pool["num_threads"] for pool in json.loads(told.stdout)} == {1}
