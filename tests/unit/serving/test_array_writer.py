"""Answers of whole arrays: to the byte what the protocol writes, or left to it."""

from itertools import accumulate, pairwise

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard_serving import array_writer, binary, codec, protocol
from modelyard_serving.array_writer import ArrayWriter
from modelyard_serving.protocol import OutputTensor, RequestedOutput

MODEL, VERSION = 'ra"%d', "1%b"
ODD_NAME = 'y%b"é'
IDS = [None, '%b"', "é\n\\", "", "%%d"]
COUNTS = [(1, 1, 1), (1, 2), (2, 1), (3,), (1,) * 7, (5, 1, 300)]
BITS = np.random.default_rng(3).integers(0, 256, 1 << 16, dtype=np.uint8)
WHOLE = (
    "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64",
)  # fmt: skip
AS_JSON = ("BOOL", "FP32", "FP64", *WHOLE)
AS_BINARY = ("FP16", "BF16", *AS_JSON)
TAILS = [(), (1,), (2,), (2, 3), (1, 2, 2)]


def numbers(datatype, shape):
    """Return numbers of all kinds that the datatype has; none that JSON has no form for."""
    dtype = ml_dtypes.bfloat16 if datatype == "BF16" else codec.NUMPY_TYPES[datatype]
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    with np.errstate(invalid="ignore"):
        if datatype == "BOOL":
            return (BITS[:size] % 2).astype(bool).reshape(shape)
        found = np.resize(BITS, size).view(dtype)
        return np.where(np.isfinite(found), found, -found.dtype.type(0)).reshape(shape)


def asked(*names, binary=False):
    return tuple(RequestedOutput(name, binary) for name in names)


def by_the_protocol(datatypes, request_id, outputs, arrays):
    tensors = []
    for each in outputs:
        array, datatype = arrays[each.name], datatypes[each.name]
        write = (
            binary.encode(datatype, array)
            if each.binary
            else codec.encode(each.name, datatype, array)
        )
        tensors.append(OutputTensor(each.name, datatype, array.shape, write, each.binary))
    return protocol.render(MODEL, VERSION, request_id, tensors)


def check(writer, datatypes, ids, counts, outputs, arrays):
    """Check that each answer is the one that the protocol writes of its rows."""
    found = writer.answers(ids, counts, outputs, arrays)

    places = pairwise(accumulate(counts, initial=0))
    assert found == [
        by_the_protocol(
            datatypes, request_id, outputs, {name: each[begin:end] for name, each in arrays.items()}
        )
        for request_id, (begin, end) in zip(ids, places, strict=True)
    ]


@pytest.mark.parametrize("tail", TAILS, ids=str)
@pytest.mark.parametrize(
    ("datatype", "as_binary"),
    [(each, False) for each in AS_JSON] + [(each, True) for each in AS_BINARY],
)
def test_answers_are_what_the_protocol_writes_to_the_byte(datatype, as_binary, tail):
    datatypes = {ODD_NAME: datatype}
    writer = ArrayWriter(MODEL, VERSION, datatypes)
    for counts in COUNTS:
        ids = (IDS * 2)[: len(counts)]
        arrays = {ODD_NAME: numbers(datatype, (sum(counts), *tail))}
        check(writer, datatypes, ids, counts, asked(ODD_NAME, binary=as_binary), arrays)


DATATYPES = {"y%": "FP32", 'z"': "INT64", "ok": "BOOL", "half": "FP16", "wide": "FP64"}


@st.composite
def runs(draw):
    """Draw what may be asked of one run, with arrays of one form."""
    counts = draw(st.lists(st.integers(0, 4), min_size=1, max_size=5).filter(sum))
    names = draw(st.lists(st.sampled_from(sorted(DATATYPES)), min_size=1, unique=True))
    arrays = {}
    for name in names:
        tail = draw(st.lists(st.integers(1, 3), max_size=3))
        array = numbers(DATATYPES[name], (2 * sum(counts), *tail))
        arrays[name] = draw(
            st.sampled_from([array[::2], array[: sum(counts)], array[::-2], turned(array)])
        )
    ids = [draw(st.sampled_from(IDS) | st.text(max_size=3)) for _ in counts]
    return ids, counts, asked(*names, binary=draw(st.booleans())), arrays


def turned(array):
    """Return as many rows, whose elements do not lie in their order in memory."""
    rows = array[: len(array) // 2]
    return np.asfortranarray(rows)


@given(st.lists(runs(), min_size=1, max_size=6))
def test_one_writer_writes_all_that_is_asked_of_it_one_after_the_other(drawn):
    writer = ArrayWriter(MODEL, VERSION, DATATYPES)
    for ids, counts, outputs, arrays in drawn + drawn:
        if "half" in arrays and not outputs[0].binary:
            assert writer.answers(ids, counts, outputs, arrays) is None
        else:
            check(writer, DATATYPES, ids, counts, outputs, arrays)


SHAPES = [((2,), (3, 1)), ((2, 3), (1,)), ((), (2, 3, 1)), ((2, 3, 1), ())]
"""Tails of two outputs: the same sizes one after the other, divided in other places."""


def test_a_template_is_used_for_nothing_but_what_it_was_made_of():
    datatypes = {"a": "INT8", "b": "INT8"}
    writer = ArrayWriter(MODEL, VERSION, datatypes)
    ways = [asked("a", "b"), asked("b", "a"), asked("a", "b", binary=True), asked("b")]
    plan = [(outputs, shapes) for outputs in ways for shapes in SHAPES]
    plan += [(outputs, shapes) for shapes in SHAPES for outputs in ways]

    for outputs, shapes in plan:
        tails = zip("ab", shapes, strict=True)
        arrays = {name: numbers("INT8", (3, *tail)) for name, tail in tails}
        check(
            writer,
            datatypes,
            ["1", None],
            (1, 2),
            outputs,
            {o.name: arrays[o.name] for o in outputs},
        )


def test_what_is_remembered_is_bounded():
    writer = ArrayWriter(MODEL, VERSION, {"y": "INT8"})
    outputs = asked("y")
    for rows in range(1, array_writer.MAX_TEMPLATES + 10):
        check(writer, {"y": "INT8"}, ["a"], (rows,), outputs, {"y": numbers("INT8", (rows,))})

    assert len(writer._templates) <= array_writer.MAX_TEMPLATES


LEFT = {
    "mixed-forms": (
        (RequestedOutput("f"), RequestedOutput("i", binary=True)),
        {"f": np.ones(3, np.float32), "i": np.ones(3, np.int64)},
    ),
    "text": (asked("t"), {"t": np.array(["a", "b", "c"], object)}),
    "text-in-binary": (asked("t", binary=True), {"t": np.array(["a", "b", "c"], object)}),
    "half-floats-in-json": (asked("h"), {"h": np.ones(3, np.float16)}),
    "brain-floats-in-json": (asked("b"), {"b": np.ones(3, ml_dtypes.bfloat16)}),
    "nan-in-json": (asked("f"), {"f": np.array([1, np.nan, 2], np.float32)}),
    "infinity-in-json": (asked("d"), {"d": np.array([1, 2, -np.inf])}),
    "nan-in-the-second": (
        asked("i", "d"), {"i": np.ones(3, np.int64), "d": np.array([[1, 2], [3, np.nan], [1, 2]])},
    ),
    "a-scalar": (asked("f", binary=True), {"f": np.float32(1).reshape(())}),
    "fewer-rows": (asked("f", binary=True), {"f": np.ones((2, 1), np.float32)}),
    "more-rows": (asked("f"), {"f": np.ones(4, np.float32)}),
    "an-empty-tail": (asked("f", binary=True), {"f": np.ones((3, 0), np.float32)}),
}  # fmt: skip
KINDS = {"f": "FP32", "d": "FP64", "i": "INT64", "t": "BYTES", "h": "FP16", "b": "BF16"}


@pytest.mark.parametrize(("outputs", "arrays"), LEFT.values(), ids=LEFT)
def test_what_has_no_such_form_is_left_to_the_protocol(outputs, arrays):
    writer = ArrayWriter(MODEL, VERSION, KINDS)

    assert writer.answers(["a", None], (1, 2), outputs, arrays) is None


def test_no_rows_at_all_are_left_to_the_protocol():
    writer = ArrayWriter(MODEL, VERSION, KINDS)

    assert writer.answers([None], (0,), asked("f"), {"f": np.ones((0, 2), np.float32)}) is None


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["f", "d"])
def test_binary_carries_what_json_has_no_form_for(name, value):
    writer = ArrayWriter(MODEL, VERSION, KINDS)
    arrays = {name: np.array([1, value, 2]).astype(codec.NUMPY_TYPES[KINDS[name]])}

    check(writer, KINDS, ["a", None], (1, 2), asked(name, binary=True), arrays)
