"""The fast readers take nothing that the protocol refuses, and read what they take to the bit."""

import json

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard_core.signature import Tensor
from modelyard_serving import codec, protocol
from modelyard_serving.contract import Contract, InputSpec
from modelyard_serving.errors import InvalidRequest
from modelyard_serving.fast_binary import BinaryReader
from modelyard_serving.fast_json import Columns, LargeReader, RowWriter, small_reader
from modelyard_serving.protocol import OutputTensor
from support.json_requests import FLOATS, MIXED, documents, meaning, same, usual


def read_small(wanted: Contract, body: bytes):
    """Return what the small reader makes of one request; None if it takes it not."""
    columns = Columns.of(wanted)
    try:
        request = small_reader(columns)(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    rows = request.inputs[0].shape[0]
    pairs = list(zip(request.inputs, columns.widths, strict=True))
    if rows < 1 or any(t.shape[0] != rows or len(t.data) != rows * w for t, w in pairs):
        return None
    feeds = columns.feeds([request])
    return feeds and (request.id, *map(same, feeds.values()))


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.sampled_from([FLOATS, MIXED]), st.data(), st.booleans())
def test_the_small_reader_reads_what_the_protocol_means(wanted, data, spaced):
    document = data.draw(documents(wanted))
    body = json.dumps(document, separators=None if spaced else (",", ":")).encode()
    found = read_small(wanted, body)

    assert found in (None, meaning(wanted, body))


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(documents(FLOATS), st.booleans())
def test_the_large_reader_reads_what_the_protocol_means(document, spaced):
    body = json.dumps(document, separators=None if spaced else (",", ":")).encode()
    found = LargeReader.of(Columns.of(FLOATS)).read(body)

    assert found is None or (found[0], *map(same, found[2].values())) == meaning(FLOATS, body)


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.sampled_from(list('[]{}",:\\0-9.eE tfn\x00\x7f'))),
             min_size=1, max_size=3)
)  # fmt: skip
def test_no_change_of_bytes_makes_a_reader_take_what_the_protocol_refuses(changes):
    body = bytearray(usual(FLOATS))
    for place, character in changes:
        body[place % len(body)] = ord(character)
    whole = bytes(body)
    expected = meaning(FLOATS, whole)

    assert read_small(FLOATS, whole) in (None, expected)
    found = LargeReader.of(Columns.of(FLOATS)).read(whole)
    assert found is None or (found[0], *map(same, found[2].values())) == expected


@pytest.mark.parametrize(
    "text",
    [
        b'{"inputs":[{"name":"a","name":"a"',
        b'{"id":"1","id":"2","inputs":[{"name":"a"',
        b'\xef\xbb\xbf{"inputs":[{"name":"a"',
    ],
)
def test_the_large_reader_leaves_what_two_parsers_read_in_two_ways(text):
    body = usual(FLOATS).replace(b'{"inputs": [{"name": "a"', text, 1)

    assert LargeReader.of(Columns.of(FLOATS)).read(body) is None


def test_the_usual_form_is_taken_by_both_readers():
    assert read_small(FLOATS, usual(FLOATS)) == meaning(FLOATS, usual(FLOATS))
    reader = LargeReader.of(Columns.of(FLOATS))
    for _ in range(3):  # a parser cannot be used again while something of its document is held
        assert reader.read(usual(FLOATS)) is not None


def test_a_model_whose_rows_are_no_first_dimension_has_no_columns():
    fixed = InputSpec(Tensor("x", "FP32", (2, 2)), (None, None))
    wide = InputSpec(Tensor("x", "FP32", (-1, -1)), ("batch", ""))
    empty = InputSpec(Tensor("x", "FP32", (-1, 0)), ("batch", None))
    half = InputSpec(Tensor("x", "FP16", (-1,)), ("batch",))

    for spec in (fixed, wide, empty, half):
        assert Columns.of(Contract({"x": spec}, ("y",), 64)) is None


ARRAYS = {
    "floats": ("FP32", np.array([[0.1, -0.0], [3.4e38, 1e-45], [1.0, 16777216.0]], np.float32)),
    "doubles": ("FP64", np.array([[0.1], [-5e-324], [1e300]])),
    "one-dimension": ("INT64", np.array([-(2**63), 0, 2**63 - 1])),
    "three-dimensions": ("UINT8", np.arange(12, dtype=np.uint8).reshape(3, 2, 2)),
    "booleans": ("BOOL", np.array([[True, False], [False, False], [True, True]])),
    "texts": ("BYTES", np.array([["a],[b", '"'], ["", "é"], ["\n", "%b"]], object)),
}


@pytest.mark.parametrize(("datatype", "array"), ARRAYS.values(), ids=ARRAYS)
@pytest.mark.parametrize("request_id", [None, '%b"'])
def test_answers_are_written_as_the_protocol_writes_them(datatype, array, request_id):
    writer = RowWriter('ra"%d', "1", [("y%", datatype), ("z", "INT64")])
    second = np.array([7, 8, 9])
    columns = writer.columns(3, [array, second])

    for counts in ((1, 1, 1), (1, 2), (3,)):
        ours = writer.answers([request_id] * len(counts), counts, columns)
        end = 0
        for answer, count in zip(ours, counts, strict=True):
            begin, end = end, end + count
            tensors = [
                OutputTensor(
                    name, kind, each[begin:end].shape, codec.encode(name, kind, each[begin:end])
                )
                for name, kind, each in (("y%", datatype, array), ("z", "INT64", second))
            ]
            assert answer == protocol.render('ra"%d', "1", request_id, tensors).body
            rows = [array[begin:end], second[begin:end]]
            assert writer.answer(request_id, count, rows) == answer


@pytest.mark.parametrize(
    ("datatype", "array"),
    [
        ("FP32", np.array([1, np.nan, 2], np.float32)),
        ("FP64", np.array([1, np.inf, 2])),
        ("FP16", np.array([1, 2, 3], np.float16)),
        ("BYTES", np.array(["a", "\ud800", "b"], object)),
        ("FP32", np.zeros((2, 1), np.float32)),
        ("FP32", np.zeros((), np.float32)),
        ("FP32", np.zeros((3, 0), np.float32)),
    ],
)
def test_what_has_no_such_form_is_left_to_the_protocol(datatype, array):
    writer = RowWriter("rain", "1", [("y", datatype)])

    assert writer.columns(3, [array]) is None
    assert writer.answer(None, 3, [array]) is None


PARTS = (
    b'"inputs": [{"name": "a", "datatype": "FP32", "shape": [1, 2],'
    b' "parameters": {"binary_data_size": 8}}, {"name": "b", "datatype": "FP64", "shape": [1],'
    b' "parameters": {"binary_data_size": 8}}]%b}'
)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [b"", b'"id": "1", ', b'"id":"2",', b'"id": "", ', b'"id": "\\u0031", ', b'"id": 1, ',
                 b'"id": null, ', b'"\\u0069d": "3", ', b'"id": "\xc3\xa9", ', b'"id": "4", ,']
            ),
            st.sampled_from([b"{", b"", b'{"id": "5", ', b" {"]),
            st.sampled_from([b"", b', "id": "6"', b', "\\u0069d": "8"', b","]),
            st.sampled_from([16, 15, 17]),
        ),
        max_size=6,
    )
)  # fmt: skip
def test_ids_of_all_kinds_mean_what_they_mean_to_the_protocol(requests):
    reader = BinaryReader(FLOATS)
    for own_id, begin, end, size in requests * 2:
        head = begin + own_id + PARTS % end
        body = head + bytes(range(size))

        found = attempt(lambda: reader.read(body, len(head)))  # noqa: B023 - called at once

        assert found == attempt(lambda: by_the_protocol(FLOATS, body, len(head)))  # noqa: B023


def by_the_protocol(wanted, body, length):
    request = protocol.parse(body, length)
    return request.id, wanted.bind(request)


def attempt(read):
    """Return the id and what is fed, or the sentence of the refusal."""
    try:
        request_id, bound = read()
    except InvalidRequest as error:
        return str(error)
    return request_id, bound.rows, bound.outputs, [same(array) for array in bound.feeds.values()]


def test_a_repeated_json_part_is_read_once_and_means_the_same():
    reader = BinaryReader(FLOATS)
    for rows, seed in ((3, 1), (3, 2), (1, 3), (3, 4)):
        dice = np.random.default_rng(seed)
        a, b = dice.normal(size=(rows, 2)).astype(np.float32), dice.normal(size=rows)
        head = json.dumps(
            {
                "id": "7",
                "inputs": [
                    {"name": name, "datatype": datatype, "shape": list(array.shape),
                     "parameters": {"binary_data_size": array.nbytes}}
                    for name, datatype, array in (("a", "FP32", a), ("b", "FP64", b))
                ],
            }
        ).encode()  # fmt: skip
        request_id, bound = reader.read(head + a.tobytes() + b.tobytes(), len(head))

        assert (request_id, bound.rows) == ("7", rows)
        assert [same(array) for array in bound.feeds.values()] == [same(a), same(b)]
        for cut in (b"", b"\0"):
            with pytest.raises(InvalidRequest):
                reader.read(head + a.tobytes() + b.tobytes()[:-1] + cut * 2, len(head))
