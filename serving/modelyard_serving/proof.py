"""The proof that a model may serve: its signature is true, and it answers a typical row.

Nothing is ready before this passed; the sentence of what failed is what people read.
"""

from collections.abc import Mapping

import numpy as np

from modelyard_core.reference import Profile
from modelyard_core.signature import Signature, Tensor
from modelyard_serving import codec
from modelyard_serving.codec import Array
from modelyard_serving.contract import Contract, InputSpec
from modelyard_serving.errors import ModelFailed, Unservable
from modelyard_serving.model import OnnxModel

SEVERAL_ROWS = 8
"""Rows of the second proving run, where the model takes a varying number."""


def contract_of(model: OnnxModel, signature: Signature, max_rows: int) -> Contract:
    """Return what requests must keep, in the signature's order.

    Raises:
        Unservable: the signature names other inputs or outputs than the model has.
    """
    _compare("input", {t.name: t for t in signature.inputs}, set(model.inputs))
    _compare("output", {t.name: t for t in signature.outputs}, set(model.outputs))
    for tensor in signature.inputs:
        found = model.inputs[tensor.name].tensor
        if (found.datatype, found.shape) != (tensor.datatype, tensor.shape):
            raise Unservable(
                f"input {tensor.name!r} is {found.datatype} {list(found.shape)} in the model, "
                f"{tensor.datatype} {list(tensor.shape)} in the signature"
            )
    for tensor in signature.outputs:
        if model.outputs[tensor.name] != tensor.datatype:
            raise Unservable(
                f"output {tensor.name!r} is {model.outputs[tensor.name]} in the model, "
                f"{tensor.datatype} in the signature"
            )
    inputs = {tensor.name: model.inputs[tensor.name] for tensor in signature.inputs}
    return Contract(inputs, tuple(tensor.name for tensor in signature.outputs), max_rows)


def _compare(what: str, declared: Mapping[str, Tensor], found: set[str]) -> None:
    for name in sorted(found ^ set(declared)):
        where, other = ("model", "signature") if name in found else ("signature", "model")
        raise Unservable(f"{what} {name!r} of the {where} is not in the {other}")


def prove(model: OnnxModel, signature: Signature, profile: Profile) -> None:
    """Run the model on a typical row, and on several at once where it takes several.

    Raises:
        Unservable: it fails, or answers otherwise than the signature says.
    """
    specs = model.inputs.values()
    takes_batches = bool(model.inputs) and all(s.symbols and s.symbols[0] for s in specs)
    names = [tensor.name for tensor in signature.outputs]
    for rows in (1, SEVERAL_ROWS, 1) if takes_batches else (1, 1):
        feeds = {name: typical(spec, profile, rows) for name, spec in model.inputs.items()}
        try:
            results = model.run(feeds, names, rows)
        except ModelFailed as error:
            raise Unservable(f"a typical row does not pass: {error}") from error
        for tensor, array in zip(signature.outputs, results, strict=True):
            _check_output(tensor, array)
            if tensor.name == signature.score and len(array) != rows:
                raise Unservable(f"{rows} typical rows get {len(array)} scores")


def typical(spec: InputSpec, profile: Profile, rows: int) -> Array:
    """Return a value that the training rows had, as often as there are rows.

    The middle bin edge of a number, the first category of a category; zero, false or an empty
    string where the profile does not know the input.
    """
    sizes = [
        size if size >= 0 else (rows if axis == 0 else 1)
        for axis, size in enumerate(spec.tensor.shape)
    ]
    dtype = codec.NUMPY_TYPES[spec.tensor.datatype]
    value = _typical_value(spec.tensor, profile)
    return np.full(sizes, value, dtype=dtype)


def _typical_value(tensor: Tensor, profile: Profile) -> float | str:
    if tensor.datatype == "BYTES":
        categories = {column.name: column.categories for column in profile.categories}
        return next(iter(categories.get(tensor.name, ())), "")
    edges = {column.name: column.edges for column in profile.numeric}.get(tensor.name, ())
    return edges[len(edges) // 2] if edges else 0.0


def _check_output(tensor: Tensor, array: Array) -> None:
    what = f"output {tensor.name!r} of a typical row"
    expected = codec.NUMPY_TYPES.get(tensor.datatype, np.dtype(np.float16))
    if array.dtype != expected:
        raise Unservable(f"{what} has type {array.dtype}, the signature says {tensor.datatype}")
    fits = array.ndim == len(tensor.shape) and all(
        wanted in (-1, size) for size, wanted in zip(array.shape, tensor.shape, strict=True)
    )
    if not fits:
        raise Unservable(
            f"{what} has shape {list(array.shape)}, the signature says {list(tensor.shape)}"
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise Unservable(f"{what} holds NaN or an infinity")
