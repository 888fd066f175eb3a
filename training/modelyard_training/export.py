"""Turns a fitted pipeline into ONNX: the same bytes for the same parameters, under our own names.

Inputs carry the features' names and outputs those of the signature; every tensor in between gets
a prefix, so no feature name can collide with one.  The converter emits `opset_import` in varying
order, which is sorted away; with that the bytes are reproducible.
"""

import json
import warnings
from collections.abc import Mapping
from typing import Any

import onnx
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType

from modelyard_core import codec
from modelyard_core.estimators import CLASSIFICATION
from modelyard_core.signature import Signature, Tensor
from modelyard_training.failures import CannotConvert
from modelyard_training.pipeline import Fitted, inner_name

TARGET_OPSET = {"": 17, "ai.onnx.ml": 3}
"""The newest that the oldest supported serving image loads."""
BATCH = "batch"
INNER_PREFIX = "modelyard/"
PRODUCER = "modelyard"


def signature_of(task: str, fitted: Fitted) -> Signature:
    """Return what the exported model takes and gives."""
    inputs = tuple(
        Tensor(feature.name, "FP32" if feature.type == "Float" else "BYTES", (-1, 1))
        for feature in fitted.features
    )
    if task != CLASSIFICATION:
        return Signature(task, inputs, (Tensor("prediction", "FP32", (-1, 1)),), (), "prediction")
    label = "BYTES" if isinstance(fitted.classes[0], str) else "INT64"
    outputs = (
        Tensor("label", label, (-1,)),
        Tensor("probabilities", "FP32", (-1, len(fitted.classes))),
    )
    classes = tuple(str(each) for each in fitted.classes)
    return Signature(task, inputs, outputs, classes, "probabilities")


def export(fitted: Fitted, signature: Signature, properties: Mapping[str, str]) -> bytes:
    """Return the model's bytes.

    Raises:
        CannotConvert: the converter refuses the pipeline or makes an invalid graph.
    """
    try:
        model = _convert(fitted, signature)
        _rename(model, signature)
        _annotate(model, signature, properties)
        onnx.checker.check_model(model)
    except CannotConvert:
        raise
    except Exception as error:  # converters raise whatever their operators raise
        what = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise CannotConvert(
            "ConversionFailed", f"the pipeline cannot be converted: {what}"
        ) from error
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def versions_in(content: bytes) -> dict[str, int]:
    """Return the format versions that a reader of the model must know."""
    model = onnx.load_model_from_string(content)
    opsets = {f"opset:{each.domain or 'ai.onnx'}": each.version for each in model.opset_import}
    return {"ir": model.ir_version, **opsets}


def _convert(fitted: Fitted, signature: Signature) -> Any:
    types = [
        (
            inner_name(index),
            (FloatTensorType if tensor.datatype == "FP32" else StringTensorType)([None, 1]),
        )
        for index, tensor in enumerate(signature.inputs)
    ]
    options = {id(fitted.pipeline): {"zipmap": False}} if fitted.classes else None
    with warnings.catch_warnings():
        # The converter hands protobuf booleans for integers; the lock keeps one that takes them.
        warnings.simplefilter("ignore", DeprecationWarning)
        return to_onnx(
            fitted.pipeline, initial_types=types, options=options, target_opset=TARGET_OPSET
        )


def _rename(model: Any, signature: Signature) -> None:
    graph = model.graph
    if len(graph.output) != len(signature.outputs):
        raise CannotConvert("ConversionFailed", f"the model has {len(graph.output)} outputs")
    names = {inner_name(index): tensor.name for index, tensor in enumerate(signature.inputs)} | {
        value.name: tensor.name
        for value, tensor in zip(graph.output, signature.outputs, strict=True)
    }

    def renamed(name: str) -> str:
        return names.get(name, INNER_PREFIX + name) if name else ""

    for node in graph.node:
        node.input[:] = [renamed(name) for name in node.input]
        node.output[:] = [renamed(name) for name in node.output]
    for initializer in graph.initializer:
        initializer.name = renamed(initializer.name)
    for value in (*graph.input, *graph.output, *graph.value_info):
        value.name = renamed(value.name)
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = BATCH
    _order_inputs(graph, signature)


def _order_inputs(graph: Any, signature: Signature) -> None:
    by_name = {value.name: value for value in graph.input}
    # A column that no tree uses is still part of the signature and stays an input.
    ordered = [
        onnx.ValueInfoProto.FromString(by_name[each.name].SerializeToString())
        for each in signature.inputs
    ]
    del graph.input[:]
    graph.input.extend(ordered)


def _annotate(model: Any, signature: Signature, properties: Mapping[str, str]) -> None:
    opsets = sorted((each.domain, each.version) for each in model.opset_import)
    del model.opset_import[:]
    for domain, version in opsets:
        each = model.opset_import.add()
        each.domain, each.version = domain, version
    model.graph.name = PRODUCER
    facts = {**properties, "signature": json.dumps(codec.encode(signature), sort_keys=True)}
    onnx.helper.set_model_props(
        model, {f"modelyard.{key}": value for key, value in sorted(facts.items())}
    )
