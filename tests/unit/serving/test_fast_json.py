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
from modelyard_serving.errors import InvalidRequest, TooLarge
from modelyard_serving.fast_binary import BinaryReader
from modelyard_serving.fast_json import Columns, LargeReader, RowWriter, small_reader
from modelyard_serving.protocol import OutputTensor


def contract(*tensors: tuple[str, str, tuple[int, ...]], max_rows=64) -> Contract:
    specs = {
        name: InputSpec(Tensor(name, datatype, shape), ("batch", *(None for _ in shape[1:])))
        for name, datatype, shape in tensors
    }
    return Contract(specs, ("y",), max_rows)


FLOATS = contract(("a", "FP32", (-1, 2)), ("b", "FP64", (-1,)))
MIXED = contract(
    ("i", "INT8", (-1, 1)), ("u", "UINT64", (-1,)), ("t", "BYTES", (-1, 2)), ("o", "BOOL", (-1,))
)
WIDTHS = {"a": 2, "b": 1, "i": 1, "u": 1, "t": 2, "o": 1}

NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.integers(-(2**70), 2**70),
    st.sampled_from([0, -0.0, 1, 2**53 + 1, 2**63, 2**64 - 1, 2**64, 3.5e38, 1e-46, 5e-324, -129]),
)
ODD = st.sampled_from([None, True, "1", [1.0], {"a": 1}, "", 'é\u0000"\\'])
SIZES = st.sampled_from([-1, 0, 1, 2, 1.0, 2.0, True, None, "1"])
PARAMETERS = st.sampled_from([None, {}, {"a": 1}, {"null_is_missing": True}])
VALUES = {
    "FP32": NUMBERS, "FP64": NUMBERS, "INT8": st.integers(-130, 130), "UINT64": NUMBERS,
    "BYTES": st.text(max_size=3), "BOOL": st.booleans(),
}  # fmt: skip


@st.composite
def documents(draw, wanted: Contract):
    """Draw a request that is right, or wrong in a place or two."""
    rows = draw(st.integers(0, 10))
    tensors = []
    for name, spec in wanted.inputs.items():
        datatype, shape = spec.tensor.datatype, [rows, *spec.tensor.shape[1:]]
        count = rows * WIDTHS[name]
        data = draw(st.lists(VALUES[datatype], min_size=count, max_size=count))
        tensors.append({"name": name, "datatype": datatype, "shape": shape, "data": data})
    document: dict = {"inputs": tensors}
    if draw(st.booleans()):
        document["id"] = draw(st.one_of(st.none(), st.text(max_size=4), st.integers(0, 1)))
    for _ in range(draw(st.integers(0, 2))):
        break_somewhere(draw, document)
    return document


def break_somewhere(draw, document) -> None:
    tensors = document["inputs"]
    tensor = draw(st.sampled_from(tensors))
    breaks = [
        lambda: put(draw, tensor["data"], ODD),
        lambda: tensor["data"] and tensor["data"].pop(),
        lambda: put(draw, tensor["shape"], SIZES),
        lambda: tensor.update(parameters=draw(PARAMETERS)),
        lambda: tensor.update(name=draw(st.sampled_from(["a", "b", "x", 1]))),
        lambda: tensor.update(datatype=draw(st.sampled_from(["FP32", "INT8", "FP16", 1]))),
        lambda: tensor.update(data=[tensor["data"]]),
        lambda: document.update(outputs=draw(st.sampled_from([None, [], [{"name": "y"}]]))),
        lambda: document.update({draw(st.sampled_from(["parameters", "more"])): {}}),
        tensors.reverse,
    ]
    draw(st.sampled_from(breaks))()


def put(draw, items, values) -> None:
    if items:
        items[draw(st.integers(0, len(items) - 1))] = draw(values)


def meaning(wanted: Contract, body: bytes):
    """Return the id and the feeds by the protocol's own code; None if it refuses."""
    try:
        request = protocol.parse(body)
        bound = wanted.bind(request)
    except (InvalidRequest, TooLarge):
        return None
    if bound.outputs != contract_outputs(wanted):
        return "other outputs"
    return request.id, *(same(array) for array in bound.feeds.values())


def contract_outputs(wanted: Contract):
    return wanted.bind(protocol.parse(usual(wanted))).outputs


def usual(wanted: Contract) -> bytes:
    values = {"BYTES": "", "BOOL": True}
    return json.dumps(
        {
            "inputs": [
                {
                    "name": name,
                    "datatype": spec.tensor.datatype,
                    "shape": [1, *spec.tensor.shape[1:]],
                    "data": [values.get(spec.tensor.datatype, 1)] * WIDTHS[name],
                }
                for name, spec in wanted.inputs.items()
            ]
        }
    ).encode()


def same(array):
    """Return what must be equal of two arrays that are the same."""
    values = array.tolist() if array.dtype == object else array.tobytes()
    return array.dtype, array.shape, values


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
    assert RowWriter("rain", "1", [("y", datatype)]).columns(3, [array]) is None


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
