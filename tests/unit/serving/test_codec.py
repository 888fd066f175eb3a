"""Values of the protocol's JSON become exactly the arrays they say, or are refused."""

import json

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from modelyard_serving import codec
from modelyard_serving.errors import InvalidRequest

INTEGERS = [name for name in codec.JSON_TYPES if "INT" in name]


def shapes():
    return arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)


@st.composite
def tensors(draw):
    datatype = draw(st.sampled_from(sorted(codec.JSON_TYPES)))
    dtype = codec.NUMPY_TYPES[datatype]
    if datatype == "BYTES":
        text = st.text(st.characters(codec="utf-8"), max_size=5)
        return datatype, draw(arrays.arrays(dtype, shapes(), elements=text))
    finite = {"allow_nan": False, "allow_infinity": False} if dtype.kind == "f" else {}
    return datatype, draw(arrays.arrays(dtype, shapes(), elements=finite))


@given(tensors())
def test_what_is_written_reads_back_as_the_same_bits(tensor):
    datatype, array = tensor

    data = orjson.loads(codec.encode("y", datatype, array))

    back = codec.decode("x", datatype, array.shape, data)
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert back.tolist() == array.tolist()


@given(tensors())
def test_nested_data_means_the_same_as_flat_data(tensor):
    datatype, array = tensor

    nested = codec.decode("x", datatype, array.shape, array.tolist())

    assert nested.tolist() == array.tolist()


def test_floats_are_the_shortest_text_of_their_width():
    assert codec.encode("y", "FP32", np.array([0.1, 1 / 3], np.float32)) == b"[0.1,0.33333334]"
    assert codec.encode("y", "FP64", np.array([0.1, 1 / 3])) == b"[0.1,0.3333333333333333]"


@pytest.mark.parametrize("datatype", INTEGERS)
def test_an_integer_type_takes_its_whole_range_and_nothing_beyond(datatype):
    info = np.iinfo(codec.NUMPY_TYPES[datatype])

    assert codec.decode("x", datatype, (2,), [info.min, info.max]).tolist() == [info.min, info.max]
    for outside in (info.min - 1, info.max + 1):
        with pytest.raises(InvalidRequest, match=f"element 1 is out of range for {datatype}"):
            codec.decode("x", datatype, (2,), [0, outside])


@pytest.mark.parametrize(
    ("datatype", "value", "found"),
    [
        pytest.param("FP32", None, "null", id="null-is-no-float"),
        pytest.param("FP32", True, "a boolean", id="true-is-no-float"),
        pytest.param("FP32", "1", "a string", id="text-is-no-float"),
        pytest.param("FP64", {}, "an object", id="an-object-is-no-float"),
        pytest.param("INT64", 1.5, "a number with a fraction", id="a-fraction-is-no-integer"),
        pytest.param("INT64", 1.0, "a number with a fraction", id="one-point-zero-is-no-integer"),
        pytest.param("INT64", True, "a boolean", id="true-is-no-integer"),
        pytest.param("UINT8", None, "null", id="null-is-no-integer"),
        pytest.param("BOOL", 1, "an integer", id="one-is-no-boolean"),
        pytest.param("BOOL", "true", "a string", id="text-is-no-boolean"),
        pytest.param("BYTES", 1, "an integer", id="a-number-is-no-text"),
        pytest.param("BYTES", None, "null", id="null-is-no-text"),
        pytest.param("BYTES", ["a"], "an array", id="an-array-is-no-text"),
    ],
)
def test_a_value_of_another_kind_is_refused_with_its_place(datatype, value, found):
    good = {"BOOL": True, "BYTES": "a"}.get(datatype, 1)

    with pytest.raises(InvalidRequest, match=f"'x': element 1 is {found}"):
        codec.decode("x", datatype, (2,), [good, value])


@pytest.mark.parametrize("datatype", ["INT64", "UINT64", "UINT8"])
@pytest.mark.parametrize("text", ["18446744073709551616", "-9223372036854775809", "1" * 30])
def test_an_integer_that_has_no_64_bits_is_said_to_be_out_of_range(datatype, text):
    with pytest.raises(InvalidRequest, match=f"'x': element 1 is out of range for {datatype}"):
        codec.decode("x", datatype, (2,), [0, orjson.loads(text)])


@pytest.mark.parametrize("value", [1e39, -1e39])
def test_a_number_beyond_float32_is_refused(value):
    with pytest.raises(InvalidRequest, match="element 1 is out of range for FP32"):
        codec.decode("x", "FP32", (2,), [0.5, value])
    assert codec.decode("x", "FP64", (1,), [value]).tolist() == [value]


@pytest.mark.parametrize(
    ("shape", "data"),
    [
        pytest.param((2,), [1], id="too-few"),
        pytest.param((2,), [1, 2, 3], id="too-many"),
        pytest.param((2, 2), [[1, 2], [3]], id="ragged"),
        pytest.param((2, 2), [[1, 2], 3], id="half-nested"),
        pytest.param((2, 2), [[1, 2, 3, 4]], id="nested-otherwise"),
        pytest.param((1,), [[1]], id="nested-too-deep"),
        pytest.param((2, 1), 5, id="a-bare-number"),
        pytest.param((2, 1), {"0": 1}, id="an-object"),
        pytest.param((10**12,), [1], id="a-huge-shape"),
    ],
)
def test_data_of_another_shape_is_refused(shape, data):
    with pytest.raises(InvalidRequest, match="'x'"):
        codec.decode("x", "INT64", shape, data)


def test_a_scalar_may_come_bare_or_in_an_array():
    assert codec.decode("x", "INT64", (), 5).shape == ()
    assert codec.decode("x", "INT64", (), [5]).tolist() == 5


def test_missing_values_come_as_null_only_where_that_is_asked_for():
    floats = codec.decode_with_missing("x", "FP32", (2, 1), [[1.5], [None]])
    texts = codec.decode_with_missing("x", "BYTES", (2,), ["a", None])

    assert np.isnan(floats).tolist() == [[False], [True]]
    assert texts.tolist() == ["a", ""]
    with pytest.raises(InvalidRequest, match="INT64 has no missing value"):
        codec.decode_with_missing("x", "INT64", (1,), [None])
    with pytest.raises(InvalidRequest, match="out of range"):
        codec.decode_with_missing("x", "FP32", (2,), [None, 1e39])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("datatype", ["FP32", "FP64"])
def test_what_json_cannot_carry_is_never_written(datatype, value):
    array = np.array([[1, value]], codec.NUMPY_TYPES[datatype])

    with pytest.raises(InvalidRequest, match="'y' holds NaN or an infinity at element 1"):
        codec.encode("y", datatype, array)


def test_half_floats_have_no_json_form():
    with pytest.raises(InvalidRequest, match="'y' is FP16"):
        codec.encode("y", "FP16", np.array([1], np.float16))


def test_a_view_with_strides_is_written_in_row_order():
    array = np.arange(6, dtype=np.int64).reshape(2, 3).T

    assert json.loads(codec.encode("y", "INT64", array)) == [0, 3, 1, 4, 2, 5]


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists))
def test_no_data_whatever_breaks_the_decoder(data):
    for datatype in codec.JSON_TYPES:
        try:
            array = codec.decode("x", datatype, (2, 1), data)
        except InvalidRequest:
            continue
        assert array.shape == (2, 1)
