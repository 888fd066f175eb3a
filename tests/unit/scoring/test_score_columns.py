"""Cells to elements: what is missing, what is refused, and which row the sentence names."""

import numpy as np
import pyarrow as pa
import pytest

from modelyard_core.signature import Tensor
from modelyard_serving.score import columns
from modelyard_serving.score.failures import BadArguments, BadData
from support import onnx_models


def read(datatype, cells, shape=(-1, 1), first=0):
    """Return the elements of a chunk's only column `x`."""
    tensor = Tensor("x", datatype, shape)
    (feature,) = columns.features_of([tensor], onnx_models.EMPTY_PROFILE)
    return columns.read(feature, pa.record_batch({"x": cells}), first).elements


@pytest.mark.parametrize(
    "cells",
    [
        pa.array([1.5, None, -2.0]),
        pa.array([1.5, None, -2.0], pa.float32()),
        pa.array([" 1.5", "", "-2"]),
        pa.array(["1.5e0", "NA", "-2.0"]).dictionary_encode(),
        pa.array(["1.5", None, "-2"], pa.large_string()),
    ],
)
@pytest.mark.parametrize("datatype", ["FP16", "BF16", "FP32", "FP64"])
def test_a_missing_number_is_nan(datatype, cells):
    found = np.asarray(read(datatype, cells), np.float64)

    assert np.array_equal(found, [1.5, np.nan, -2.0], equal_nan=True)


def test_a_column_in_which_everything_is_missing_needs_no_type():
    nothing = pa.nulls(2)

    assert np.isnan(read("FP32", nothing)).all()
    assert read("BYTES", nothing) == ["", ""]
    with pytest.raises(BadData, match="2 of 2 values are missing, which INT64 cannot express"):
        read("INT64", nothing)


@pytest.mark.parametrize("cells", [pa.array(["a", None, ""]), pa.array(["a", "", None])])
def test_a_missing_category_is_empty(cells):
    assert read("BYTES", cells) == ["a", "", ""]


@pytest.mark.parametrize(
    ("cells", "words"),
    [(pa.array([7, None]), ["7", ""]), (pa.array([True, False]), ["true", "false"])],
)
def test_integers_and_booleans_are_categories_by_their_words(cells, words):
    assert read("BYTES", cells) == words


@pytest.mark.parametrize(
    ("datatype", "cells", "values"),
    [
        ("INT8", pa.array([-128, 127]), [-128, 127]),
        ("UINT64", pa.array(["18446744073709551615", " 0 "]), [2**64 - 1, 0]),
        ("BOOL", pa.array(["true", "0"]), [True, False]),
    ],
)
def test_integers_and_booleans_are_exact(datatype, cells, values):
    assert np.asarray(read(datatype, cells)).tolist() == values


@pytest.mark.parametrize(
    ("datatype", "cells", "sentence"),
    [
        ("FP32", ["1", "1_000"], "1 of 2 values are not numbers (first in row 102)"),
        ("FP16", [1.0, 1e6], "1 of 2 values are infinite or too large for FP16"),
        ("INT8", [1, 128], "1 of 2 values are no INT8 (first in row 102)"),
        ("INT64", ["1", "1.5"], "1 of 2 values are no INT64 (first in row 102)"),
        ("INT64", [None, 1], "1 of 2 values are missing, which INT64 cannot express"),
        ("INT64", [1.0, 2.0], "column 'x' holds double, not INT64"),
        ("BOOL", [0, 1], "column 'x' holds int64, not BOOL"),
        ("BOOL", ["yes", "no"], "2 of 2 values are no BOOL (first in row 101)"),
    ],
)
def test_other_cells_are_refused_by_column_and_row(datatype, cells, sentence):
    with pytest.raises(BadData) as caught:
        read(datatype, pa.array(cells), first=100)

    assert sentence in str(caught.value)
    assert "'x'" in str(caught.value)


def test_a_bad_element_of_a_list_is_named_by_its_row():
    cells = pa.array([[1.0, 2.0], [3.0, float("inf")]])

    with pytest.raises(BadData, match=r"1 of 4 values are infinite .* \(first in row 12\)"):
        read("FP32", cells, (-1, 2), first=10)


@pytest.mark.parametrize("cells", [[[1.0], [1.0, 2.0]], [[1.0, 2.0], None], [1.0, 2.0]])
def test_lists_of_another_length_are_refused(cells):
    with pytest.raises(BadData, match="column 'x' holds"):
        read("FP32", pa.array(cells), (-1, 2))


@pytest.mark.parametrize("shape", [(), (4,), (-1, -1), (-1, 0), (1, 4)])
def test_an_input_without_a_row_for_each_row_is_refused(shape):
    with pytest.raises(BadArguments, match="only inputs whose first size varies"):
        read("FP32", pa.array([1.0]), shape)
