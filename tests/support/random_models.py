"""Random small models of every datatype and shape, with true signatures.

Every model has a score beside what was drawn, one for each row, as a bundle must have one.
"""

from dataclasses import dataclass
from random import Random

import onnx
from onnx import TensorProto, helper

from modelyard_core.signature import Signature, Tensor
from support import onnx_models

ANY = tuple(onnx_models.ONNX_OF)
HALVES = ("FP16", "BF16")
FLOATS = (*HALVES, "FP32", "FP64")
NUMBERS = tuple(datatype for datatype in ANY if datatype not in ("BOOL", "BYTES"))
WHOLE = tuple(datatype for datatype in NUMBERS if datatype not in FLOATS)
INPUT_NAMES = ("x", "größe", "a b", "in:0", 'q"\\', "location")
OUTPUT_NAMES = ("y", "höhe", "out 1", "out:0", "z", "x_")
SCORE = "score"
JSON_FLOATS = ("FP32", "FP64")
IN_JSON = tuple(datatype for datatype in ANY if datatype not in HALVES)

OPERATORS = {
    "Identity": ANY,
    "Add": tuple(datatype for datatype in NUMBERS if datatype != "BF16"),
    "Sqrt": ("FP16", "FP32", "FP64"),
    "Concat": ANY,
    "Cast": ANY,
    "Shape": ANY,
    "ReduceMax": ("UINT8", "INT8", "INT32", "INT64", "FP16", "FP32", "FP64"),
    "Gather": ("INT32", "INT64"),
}
"""What onnxruntime can run on which datatype."""


@dataclass(frozen=True, slots=True)
class Input:
    """An input; sizes are numbers, names, or None where they vary by themselves."""

    name: str
    datatype: str
    sizes: tuple[int | str | None, ...]
    is_declared: bool = True
    """Whether the model names a shape at all."""


@dataclass(frozen=True, slots=True)
class RandomModel:
    """A model and what it says about itself."""

    data: bytes
    inputs: tuple[Input, ...]
    signature: Signature


@dataclass(frozen=True, slots=True)
class _Output:
    tensor: Tensor
    nodes: tuple[onnx.NodeProto, ...]


SIZES = ("n", "m", "rows", None, None, 1, 1, 2, 3, 0)
SHAPELESS = 0.1
"""Share of inputs for which only the signature has a shape."""


def draw(dice: Random) -> RandomModel:
    """Return any model; dice that fall alike make the same one."""
    names = dice.sample(INPUT_NAMES, dice.choice((1, 1, 2, 3)))
    kind = dice.choice(("a table", "floats", "rows", "anything"))
    rows = dice.choice(("rows", None))
    inputs = tuple(_input(dice, name, kind, rows) for name in names)
    told = dice.sample(OUTPUT_NAMES, dice.choice((1, 2, 3)))
    outputs = [_output(dice, name, dice.choice(inputs)) for name in told]
    outputs.insert(dice.randint(0, len(outputs)), _score(inputs))
    signature = Signature(
        "Regression",
        tuple(Tensor(i.name, i.datatype, tuple(map(_plain, i.sizes))) for i in inputs),
        tuple(output.tensor for output in outputs),
        score=SCORE,
    )
    is_shaped = dice.choice((True, False))
    return RandomModel(_build(inputs, outputs, is_shaped=is_shaped), inputs, signature)


def _plain(size: int | str | None) -> int:
    return size if isinstance(size, int) else -1


def _input(dice: Random, name: str, kind: str, rows: str | None) -> Input:
    """Return an input: of a table as those of trainings, of one of floats, of rows, or any."""
    datatype = dice.choice(ANY)
    sizes: tuple[int | str | None, ...] = tuple(dice.choices(SIZES, k=dice.randint(0, 3)))
    if kind == "rows":
        sizes = (dice.choice(("rows", None)), *sizes[:2])
    if kind in ("a table", "floats"):
        datatype = dice.choice(IN_JSON if kind == "a table" else JSON_FLOATS)
        sizes = (rows, *dice.choices((1, 2), k=dice.randint(0, 2)))
    if dice.random() < SHAPELESS:
        # The signature has no names for sizes.
        return Input(name, datatype, tuple(s if s in (1, 2) else None for s in sizes), False)
    return Input(name, datatype, sizes)


def _output(dice: Random, name: str, source: Input) -> _Output:
    able = [op for op, datatypes in OPERATORS.items() if source.datatype in datatypes]
    operator, given, attributes = dice.choice(able), [source.name], {}
    datatype, shape = source.datatype, tuple(map(_plain, source.sizes))
    match operator:
        case "Add":
            given = [source.name, source.name]
        case "Cast":
            datatype = dice.choice(_castable(source.datatype))
            attributes = {"to": onnx_models.ONNX_OF[datatype]}
        case "Shape":
            datatype, shape = "INT64", (len(shape),)
        case "Gather":
            datatype, given = "FP32", ["table", source.name]
        case "Concat" if shape:
            given, attributes = [source.name, source.name], {"axis": len(shape) - 1}
            shape = (*shape[:-1], shape[-1] if shape[-1] < 0 else 2 * shape[-1])
        case "ReduceMax" if shape and 0 not in shape:
            attributes, shape = {"axes": [0], "keepdims": 1}, (1, *shape[1:])
        case "Concat" | "ReduceMax":
            operator = "Identity"
    node = helper.make_node(operator, given, [name], **attributes)
    return _Output(Tensor(name, datatype, shape), (node,))


def _castable(datatype: str) -> tuple[str, ...]:
    """Return what can be made of it with one meaning, whatever the processor."""
    if datatype == "BYTES":
        return ("BYTES",)
    return FLOATS if datatype in FLOATS else (*NUMBERS, "BOOL")


def _score(inputs: tuple[Input, ...]) -> _Output:
    """Return a half for each row of a model that takes many, else one half."""
    first = inputs[0]
    takes_many = all(i.sizes and not isinstance(i.sizes[0], int) for i in inputs)
    half = helper.make_tensor("half", TensorProto.FLOAT, [1], [0.5])
    if not takes_many:
        node = helper.make_node("Constant", [], [SCORE], value=half)
        return _Output(Tensor(SCORE, "FP32", (1,)), (node,))
    nodes = (
        helper.make_node("Shape", [first.name], ["sizes of it"], start=0, end=1),
        helper.make_node("ConstantOfShape", ["sizes of it"], [SCORE], value=half),
    )
    return _Output(Tensor(SCORE, "FP32", (-1,)), nodes)


def _build(inputs: tuple[Input, ...], outputs: list[_Output], *, is_shaped: bool) -> bytes:
    declared = [
        helper.make_tensor_value_info(
            i.name, onnx_models.ONNX_OF[i.datatype], i.sizes if i.is_declared else None
        )
        for i in inputs
    ]
    told = [
        helper.make_tensor_value_info(
            o.tensor.name,
            onnx_models.ONNX_OF[o.tensor.datatype],
            [None if size < 0 else size for size in o.tensor.shape] if is_shaped else None,
        )
        for o in outputs
    ]
    table = helper.make_tensor("table", TensorProto.FLOAT, [2], [5.0, -7.0])
    nodes = [node for output in outputs for node in output.nodes]
    graph = helper.make_graph(nodes, "random", declared, told, [table])
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", onnx_models.OPSET)],
        ir_version=onnx_models.IR_VERSION,
    )
    data: bytes = model.SerializeToString()
    return data
