"""A model whose every run costs milliseconds of arithmetic."""

import itertools
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

from modelyard_core.signature import Signature, Tensor
from support import bundles, onnx_models
from support.bundles import Bundle
from support.serving import tensor

IO = ("FP32", (-1, 1))
REQUEST = {"inputs": [tensor(shape=(1, 1), data=[1])]}


def bundle(folder: Path, size: int) -> Bundle:
    """Write one that multiplies matrices of `size` by `size`."""
    square = np.full((size, size), 1 / size, np.float32)
    steps = [f"step{i}" for i in range(9)]
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], keepdims=0),
        helper.make_node("Add", ["w", "mean"], [steps[0]]),
        *(helper.make_node("MatMul", [a, "w"], [b]) for a, b in itertools.pairwise(steps)),
        helper.make_node("ReduceMean", [steps[-1]], ["end"], keepdims=0),
        helper.make_node("Mul", ["x", "end"], ["y"]),
    ]
    weights = helper.make_tensor("w", TensorProto.FLOAT, square.shape, square.tobytes(), raw=True)
    data = onnx_models.build(nodes, [("x", *IO)], [("y", *IO)], [weights])
    signature = Signature("Regression", (Tensor("x", *IO),), (Tensor("y", *IO),), score="y")
    return bundles.write(folder / "model", data, signature, onnx_models.EMPTY_PROFILE)
