"""Tiny real ONNX models, and the signatures and profiles that belong to them."""

from collections.abc import Sequence

import onnx
from onnx import TensorProto, helper

from modelyard_core.reference import CategoryProfile, NumericProfile, Profile
from modelyard_core.signature import Signature, Tensor

OPSET = 17
IR_VERSION = 9

ONNX_OF = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "BF16": TensorProto.BFLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
}


def build(nodes, inputs, outputs, initializers=(), opset=OPSET) -> bytes:
    """Return a model's bytes; `inputs` and `outputs` are Tensors with -1 or a name where free."""
    graph = helper.make_graph(
        list(nodes), "test", _infos(inputs), _infos(outputs), list(initializers)
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    return model.SerializeToString()


def _infos(tensors):
    return [
        helper.make_tensor_value_info(
            name, ONNX_OF[datatype], [None if size == -1 else size for size in shape]
        )
        for name, datatype, shape in tensors
    ]


def echo(datatype: str, shape: Sequence[int | str]) -> bytes:
    """Return a model that answers what it is given."""
    return build(
        [helper.make_node("Identity", ["x"], ["y"])],
        [("x", datatype, shape)],
        [("y", datatype, shape)],
    )


def echo_signature(datatype: str, shape: Sequence[int]) -> Signature:
    """Return the signature of `echo`."""
    return Signature(
        task="Regression",
        inputs=(Tensor("x", datatype, tuple(shape)),),
        outputs=(Tensor("y", datatype, tuple(shape)),),
        score="y",
    )


def rain() -> bytes:
    """Return a classifier of three features: P = sigmoid(temp + wind), shifted up in the north.

    Its features are `temp` and `wind` (FP32) and `station` (BYTES), its outputs `label` and
    `probabilities`: the form that trainings have.
    """
    nodes = [
        helper.make_node(
            "LabelEncoder",
            ["station"],
            ["shift"],
            domain="ai.onnx.ml",
            keys_strings=["north", "south"],
            values_floats=[1.0, -1.0],
            default_float=0.0,
        ),
        helper.make_node("Add", ["temp", "wind"], ["sum"]),
        helper.make_node("Add", ["sum", "shift"], ["score"]),
        helper.make_node("Sigmoid", ["score"], ["yes"]),
        helper.make_node("Sub", ["one", "yes"], ["no"]),
        helper.make_node("Concat", ["no", "yes"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0),
    ]
    one = helper.make_tensor("one", TensorProto.FLOAT, [1, 1], [1.0])
    inputs = [(tensor.name, tensor.datatype, tensor.shape) for tensor in RAIN.inputs]
    outputs = [(tensor.name, tensor.datatype, tensor.shape) for tensor in RAIN.outputs]
    return build(nodes, inputs, outputs, [one])


RAIN = Signature(
    task="Classification",
    inputs=(
        Tensor("temp", "FP32", (-1, 1)),
        Tensor("wind", "FP32", (-1, 1)),
        Tensor("station", "BYTES", (-1, 1)),
    ),
    outputs=(Tensor("label", "INT64", (-1,)), Tensor("probabilities", "FP32", (-1, 2))),
    classes=("0", "1"),
    score="probabilities",
)

RAIN_PROFILE = Profile(
    rows=100,
    numeric=(
        NumericProfile("temp", (-1.0, 0.0, 1.0), (10, 40, 40, 10), 0, -3.0, 3.0),
        NumericProfile("wind", (0.1, 0.2), (30, 30, 40), 0, 0.0, 1.0),
    ),
    categories=(CategoryProfile("station", ("north", "south"), (50, 40, 10), ("east",), 0),),
    prediction=NumericProfile("probabilities", (0.25, 0.5, 0.75), (25, 25, 25, 25), 0, 0.0, 1.0),
)

EMPTY_PROFILE = Profile(
    rows=1,
    numeric=(),
    categories=(),
    prediction=NumericProfile("y", (0.0,), (1, 0), 0, 0.0, 0.0),
)


def with_opset(model: bytes, opset: int) -> bytes:
    """Return the model with another claim about its opset."""
    proto = onnx.load_from_string(model)
    proto.opset_import[0].version = opset
    return proto.SerializeToString()


def with_ir_version(model: bytes, version: int) -> bytes:
    """Return the model with another claim about its IR version."""
    proto = onnx.load_from_string(model)
    proto.ir_version = version
    return proto.SerializeToString()
