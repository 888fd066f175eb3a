"""JSON schemas of one model's requests and answers, for its OpenAPI document.  Pure.

They say as much as a schema can: names, datatypes, ranks, ranges.  That the sizes of a shape and
the number of elements agree, and that each input is there once, is beyond it.
"""

from collections.abc import Iterable
from math import prod
from typing import Any

import numpy as np

from modelyard_core.signature import Signature, Tensor
from modelyard_serving import codec, protocol

Schema = dict[str, Any]

SIZE: Schema = {"type": "integer", "minimum": 0}
PARAMETERS: Schema = {
    "type": ["object", "null"],
    "propertyNames": {"not": {"enum": list(protocol.NOT_SUPPORTED)}},
    "additionalProperties": {"type": ["string", "number", "boolean"]},
}


def request(signature: Signature) -> Schema:
    """Return the schema of a request that is JSON only."""
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": ["string", "null"], "description": "Comes back in the answer."},
            "parameters": parameters(
                binary_data_output={
                    "type": "boolean",
                    "description": "Answer all outputs as binary tensors.",
                }
            ),
            "inputs": {
                "type": "array",
                "minItems": len(signature.inputs),
                "maxItems": len(signature.inputs),
                "items": _any_of(_input(tensor) for tensor in signature.inputs),
                "description": "Each input of the model once, in any order.",
            },
            "outputs": {
                "type": ["array", "null"],
                "items": _requested([tensor.name for tensor in signature.outputs]),
                "description": "The outputs to answer, in this order; none means all.",
            },
        },
    }


def answer(signature: Signature, model: str, version: str) -> Schema:
    """Return the schema of an answer that is JSON only."""
    return {
        "type": "object",
        "required": ["model_name", "model_version", "outputs"],
        "properties": {
            "model_name": {"const": model},
            "model_version": {"const": version},
            "id": {"type": "string"},
            "outputs": {
                "type": "array",
                "minItems": 1,
                "items": _any_of(_output(tensor) for tensor in signature.outputs),
            },
        },
        "additionalProperties": False,
    }


def example(signature: Signature) -> dict[str, Any]:
    """Return a request of one row that the schema allows."""
    return {"id": "r-1", "inputs": [_example(tensor) for tensor in signature.inputs]}


def _example(tensor: Tensor) -> dict[str, Any]:
    shape = [1 if size == -1 else size for size in tensor.shape]
    zero: Any = {"BOOL": False, "BYTES": ""}.get(tensor.datatype, 0)
    return {
        "name": tensor.name,
        "datatype": tensor.datatype,
        "shape": shape,
        "data": [zero] * prod(shape),
    }


def parameters(**known: Schema) -> Schema:
    """Return the schema of a `parameters` member that knows these, and does not mind others."""
    return {**PARAMETERS, "properties": known}


def _any_of(schemas: Iterable[Schema]) -> Schema:
    several = list(schemas)
    return several[0] if len(several) == 1 else {"anyOf": several}


def _input(tensor: Tensor) -> Schema:
    described = f"{tensor.datatype} of shape {list(tensor.shape)}, where -1 varies"
    missing = tensor.datatype in codec.FLOATS or tensor.datatype == "BYTES"
    schema = _tensor(tensor, nullable=missing)
    known = {
        protocol.NULL_IS_MISSING: {
            "type": "boolean",
            "description": "Take null for a missing value instead of refusing it.",
        }
    }
    schema["properties"]["parameters"] = parameters(**known if missing else {})
    schema["description"] = described
    return schema


def _output(tensor: Tensor) -> Schema:
    schema = _tensor(tensor, nullable=False)
    rank = len(tensor.shape)
    sizes = {"type": "array", "items": SIZE, "minItems": rank, "maxItems": rank}
    schema["properties"]["shape"] = sizes
    return {**schema, "additionalProperties": False}


def _tensor(tensor: Tensor, *, nullable: bool) -> Schema:
    return {
        "type": "object",
        "required": ["name", "datatype", "shape", "data"],
        "properties": {
            "name": {"const": tensor.name},
            "datatype": {"const": tensor.datatype},
            "shape": _shape(tensor),
            "data": _data(tensor, nullable=nullable),
        },
    }


def _shape(tensor: Tensor) -> Schema:
    if not tensor.shape:
        return {"type": "array", "maxItems": 0}
    sizes: list[Schema] = [SIZE if size == -1 else {"const": size} for size in tensor.shape]
    return {"type": "array", "minItems": len(sizes), "maxItems": len(sizes), "prefixItems": sizes}


def _data(tensor: Tensor, *, nullable: bool) -> Schema:
    if tensor.datatype in codec.BINARY_ONLY:
        return {"not": {}, "description": f"JSON cannot carry {tensor.datatype}; use binary data."}
    element = _element(tensor.datatype)
    if nullable:
        element["type"] = [element["type"], "null"]
    flat: Schema = {"type": "array", "items": element}
    nested = element
    for size in reversed(tensor.shape):
        nested = {"type": "array", "items": nested}
        if size != -1:
            nested |= {"minItems": size, "maxItems": size}
    return flat if len(tensor.shape) == 1 else {"anyOf": [flat, nested]}


def _element(datatype: str) -> Schema:
    if datatype == "BOOL":
        return {"type": "boolean"}
    if datatype == "BYTES":
        return {"type": "string"}
    dtype = codec.NUMPY_TYPES[datatype]
    if datatype in codec.FLOATS:
        limits: Any = np.finfo(dtype)
        return {"type": "number", "minimum": float(limits.min), "maximum": float(limits.max)}
    limits = np.iinfo(dtype)
    return {"type": "integer", "minimum": int(limits.min), "maximum": int(limits.max)}


def _requested(names: list[str]) -> Schema:
    binary = {"type": "boolean", "description": "Answer this output as a binary tensor, or not."}
    return {
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"enum": names}, "parameters": parameters(binary_data=binary)},
    }
