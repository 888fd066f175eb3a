"""Binary tensors become exactly the arrays that they say, or are refused."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from modelyard_serving import binary, codec
from modelyard_serving.errors import InvalidRequest

NUMBERS = [name for name in codec.DATATYPES if name != "BYTES"]


def strings(*elements: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


@st.composite
def tensors(draw):
    datatype = draw(st.sampled_from(NUMBERS))
    dtype = codec.NUMPY_TYPES[datatype]
    shape = draw(arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    bits = draw(arrays.arrays(np.dtype(f"u{dtype.itemsize}"), shape))
    return datatype, (bits % 2 if datatype == "BOOL" else bits).view(dtype)


@given(tensors(), st.integers(0, 9))
def test_numbers_keep_every_bit_wherever_they_begin(tensor, offset):
    datatype, array = tensor
    written = bytes(binary.encode(datatype, array))

    raw = memoryview(b"x" * offset + written)[offset:]
    read = binary.decode("x", datatype, array.shape, raw)

    assert read.dtype == array.dtype
    assert read.shape == array.shape
    assert read.tobytes() == array.tobytes() == written
    assert read.flags.aligned


@given(st.lists(st.text()))
def test_text_comes_back_as_it_was(elements):
    array = np.array(elements, dtype=object)
    written = binary.encode("BYTES", array)

    assert written == strings(*(element.encode() for element in elements))
    assert binary.decode("x", "BYTES", (len(elements), 1), written).tolist() == [
        [element] for element in elements
    ]


def test_numbers_are_little_endian():
    assert binary.decode("x", "UINT16", (2,), b"\x01\x00\x00\x01").tolist() == [1, 256]
    assert bytes(binary.encode("INT32", np.array([1], np.int32))) == b"\x01\x00\x00\x00"
    assert binary.decode("x", "BF16", (1,), b"\x80\x3f").astype(float).tolist() == [1.0]


def test_numbers_are_not_copied_where_they_lie_well():
    body = bytearray(struct.pack("<2f", 1, 2))
    array = binary.decode("x", "FP32", (2,), memoryview(body))
    body[:4] = struct.pack("<f", 7)

    assert array.tolist() == [7, 2]


def test_a_view_with_strides_is_written_in_row_order():
    array = np.arange(6, dtype=np.uint8).reshape(2, 3).T

    assert bytes(binary.encode("UINT8", array)) == b"\x00\x03\x01\x04\x02\x05"


@pytest.mark.parametrize(
    ("datatype", "shape", "raw", "sentence"),
    [
        pytest.param("FP32", (2,), b"1234567", "means 8 bytes, not 7", id="too-short"),
        pytest.param("FP32", (2,), b"123456789", "means 8 bytes, not 9", id="too-long"),
        pytest.param("FP32", (0, 7), b"1", "means 0 bytes, not 1", id="more-than-nothing"),
        pytest.param("FP16", (2,), b"1234567812345678", "means 4 bytes, not 16", id="as-fp64"),
        pytest.param("BOOL", (3,), b"\0\1\2", "element 2 is 2, which is no BOOL", id="a-bool-of-2"),
        pytest.param(
            "BYTES", (1,), b"\1\0\0", "bytes end before element 0 of 1", id="half-a-length"
        ),
        pytest.param("BYTES", (1,), b"\2\0\0\0a", "element 0 needs 2 bytes, 1 are", id="half-text"),
        pytest.param("BYTES", (1,), b"\xff\xff\xff\xffa", "needs 4294967295", id="endless-text"),
        pytest.param("BYTES", (2,), strings(b"a"), "end before element 1 of 2", id="too-few"),
        pytest.param(
            "BYTES", (1,), strings(b"a", b""), "4 bytes follow element 0, the last", id="too-many"
        ),
        pytest.param("BYTES", (0,), b"\0", "1 bytes follow", id="text-after-none"),
        pytest.param("BYTES", (10**9, 10**9), b"", "end before element 0 of", id="a-huge-shape"),
        pytest.param("BYTES", (2,), strings(b"a", b"\xff"), "element 1 is not UTF-8", id="no-text"),
        pytest.param("BYTES", (1,), strings(b"\xed\xa0\x80"), "is not UTF-8", id="a-surrogate"),
    ],
)
def test_bytes_that_are_no_such_tensor_are_refused(datatype, shape, raw, sentence):
    with pytest.raises(InvalidRequest, match=f"^input 'x': .*{sentence}"):
        binary.decode("x", datatype, shape, memoryview(raw))


@given(st.sampled_from(sorted(codec.DATATYPES)), st.binary(max_size=24))
def test_no_bytes_whatever_break_the_decoder(datatype, raw):
    try:
        array = binary.decode("x", datatype, (1, 2), raw)
    except InvalidRequest:
        return
    assert bytes(binary.encode(datatype, array)) == raw
