"""Requests in JSON for models of a few inputs, right and wrong, and what the protocol makes of them."""

import json

from hypothesis import strategies as st

from modelyard_core.signature import Tensor
from modelyard_serving import protocol
from modelyard_serving.contract import Contract, InputSpec
from modelyard_serving.errors import InvalidRequest, TooLarge


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
