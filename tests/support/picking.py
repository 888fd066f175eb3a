"""A model of numbers that can be asked in every form, and the requests that ask it."""

import json

import numpy as np
from onnx import TensorProto, helper

from modelyard_core.reference import NumericProfile, Profile
from modelyard_core.signature import Signature, Tensor
from support import bundles, hot, onnx_models
from support.serving import tensor

INPUT = Tensor("x", "FP32", (-1, 2))
OUTPUTS = (
    Tensor("root", "FP32", (-1, 1)),
    Tensor("picked", "FP32", (-1,)),
    Tensor("same", "FP64", (-1, 2)),
)
PROFILE = Profile(
    1,
    tuple(
        NumericProfile(name, edges, (1, 1, 1), 0, 0.0, 2.0, "x", index, mean=0.5, scale=0.8)
        for index, (name, edges) in enumerate({"value": (0.25, 0.5), "place": (0.5, 1.5)}.items())
    ),
    (),
    NumericProfile("root", (0.5,), (1, 1), 0, 0.0, 1.0, mean=0.6, scale=0.2),
)


def bundle(folder):
    """Write a model of rows of a value and a place: the value's root, and what lies at the place.

    A value below zero has no root but NaN, and a place from 3 on breaks the model.
    """
    nodes = [
        helper.make_node("Split", ["x"], ["value", "place"], axis=1),
        helper.make_node("Sqrt", ["value"], ["root"]),
        helper.make_node("Squeeze", ["place", "one"], ["flat"]),
        helper.make_node("Cast", ["flat"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "whole"], ["picked"]),
        helper.make_node("Cast", ["x"], ["same"], to=TensorProto.DOUBLE),
    ]
    one = helper.make_tensor("one", TensorProto.INT64, [1], [1])
    table = helper.make_tensor("table", TensorProto.FLOAT, [3], [10.0, 20.0, 30.0])
    sides = [[(t.name, t.datatype, t.shape) for t in side] for side in ((INPUT,), OUTPUTS)]
    data = onnx_models.build(nodes, *sides, [one, table])
    signature = Signature("Regression", (INPUT,), OUTPUTS, score="root")
    return bundles.write(folder / "model", data, signature, PROFILE)


def rows(number: int, count: int = 1) -> np.ndarray:
    """Return rows that belong to a number."""
    dice = np.random.default_rng(number)
    return np.column_stack([dice.random(count), dice.integers(0, 3, count)]).astype(np.float32)


def in_json(table, *fields, form=hot.request, **more) -> bytes:
    """Return a request in JSON."""
    inputs = [tensor("x", "FP32", table.shape, table.reshape(-1).tolist())]
    document = json.dumps({**more, "inputs": inputs}, separators=(",", ":"))
    return form(document.encode(), *fields)


def in_binary(table, *fields, form=hot.request, **more) -> bytes:
    """Return a request with a binary tensor."""
    what = {"name": "x", "datatype": "FP32", "shape": table.shape}
    inputs = [{**what, "parameters": {"binary_data_size": table.nbytes}}]
    head = json.dumps({**more, "inputs": inputs}).encode()
    length = f"inference-header-content-length: {len(head)}"
    return form(head + table.tobytes(), length, *fields)


FORMS = {
    "small": lambda i, *fields, **how: in_json(rows(i, 1 + i % 3), *fields, id=f"s{i}", **how),
    "large": lambda i, *fields, **how: in_json(rows(i, 120), *fields, id=f"l{i}", **how),
    "binary": lambda i, *fields, **how: in_binary(rows(i), *fields, id=f"b{i}", **how),
    "more-binary": lambda i, *fields, **how: in_binary(rows(i, 5), *fields, **how),
}
"""Ways to ask about the rows of a number."""
WISHES = {
    "all": {},
    "binary": {"parameters": {"binary_data_output": True}},
    "part": {"outputs": [{"name": "picked"}]},
    "mixed": {"outputs": [{"name": "same", "parameters": {"binary_data": True}}, {"name": "root"}]},
    "turned": {"outputs": [{"name": name} for name in ("same", "picked", "root")]},
}
"""Ways to be answered."""


def drawn(seed: int, count: int, **how) -> list[bytes]:
    """Return requests of all forms and roles that wish for answers of all forms."""
    dice = np.random.default_rng(seed)
    requests = []
    for number in range(count):
        form, wish = dice.choice(list(FORMS)), dice.choice(["all", *WISHES])
        fields = [f"x-modelyard-role: {dice.choice(['stable', 'canary', 'shadow'])}"]
        if dice.integers(2):
            fields.append(f"x-request-id: router-{number}")
        if dice.integers(4) == 0:
            fields.append("accept-encoding: gzip")
        requests.append(FORMS[form](1000 * seed + number, *fields, **WISHES[wish], **how))
    return requests
