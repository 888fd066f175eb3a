"""The proof that a model may serve: its signature is true, and it answers a typical row.

Nothing is ready before this passed; the sentence of what failed is what people read.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

import numpy as np

from modelyard_core.reference import CategoryProfile, NumericProfile, Profile
from modelyard_core.signature import Signature, Tensor
from modelyard_serving import codec
from modelyard_serving.codec import Array
from modelyard_serving.contract import Contract, InputSpec
from modelyard_serving.errors import ModelFailed, Unservable
from modelyard_serving.model import OnnxModel, spec_of

SEVERAL_ROWS = 8
"""Rows of the second proving run, where the model takes a varying number."""
FLOATS = (*codec.FLOATS, *codec.BINARY_ONLY)


def contract_of(model: OnnxModel, signature: Signature, max_rows: int) -> Contract:
    """Return what requests must keep.

    Raises:
        Unservable: the signature does not describe the model.
    """
    _compare("input", [t.name for t in signature.inputs], list(model.inputs))
    _compare("output", [t.name for t in signature.outputs], list(model.outputs))
    inputs = {tensor.name: _input(model, tensor) for tensor in signature.inputs}
    for tensor in signature.outputs:
        found = Tensor(tensor.name, model.outputs[tensor.name], model.output_shapes[tensor.name])
        is_known = bool(found.shape)
        if found.datatype != tensor.datatype or (is_known and not _agree(found, tensor)):
            raise _differ("output", found, tensor)
    _check_score(signature)
    return Contract(inputs, tuple(tensor.name for tensor in signature.outputs), max_rows)


def _compare(what: str, declared: Sequence[str], found: Sequence[str]) -> None:
    for name in sorted({*declared} ^ {*found}):
        where, other = ("model", "signature") if name in found else ("signature", "model")
        raise Unservable(f"{what} {name!r} of the {where} is not in the {other}")
    if declared != found:
        raise Unservable(
            f"the signature has the {what}s {', '.join(declared)}; the model has them in another "
            f"order: {', '.join(found)}"
        )


def _input(model: OnnxModel, tensor: Tensor) -> InputSpec:
    found = model.inputs[tensor.name]
    if tensor.name in model.inputs_of_any_rank and found.tensor.datatype == tensor.datatype:
        return spec_of(tensor)
    if found.tensor != tensor:
        raise _differ("input", found.tensor, tensor)
    return found


def _agree(found: Tensor, declared: Tensor) -> bool:
    """Return whether two shapes can be of one tensor."""
    return len(found.shape) == len(declared.shape) and all(
        -1 in (here, there) or here == there
        for here, there in zip(found.shape, declared.shape, strict=True)
    )


def _differ(what: str, found: Tensor, declared: Tensor) -> Unservable:
    return Unservable(
        f"{what} {found.name!r} is {found.datatype} {list(found.shape)} in the model, "
        f"{declared.datatype} {list(declared.shape)} in the signature"
    )


def _check_score(signature: Signature) -> None:
    """See that the output whose values are sketched has one number, or one number a class, a row."""
    score = next((t for t in signature.outputs if t.name == signature.score), None)
    if score is None:
        names = ", ".join(tensor.name for tensor in signature.outputs)
        raise Unservable(
            f"the signature's score {signature.score!r} is no output; they are {names}"
        )
    what = f"score {score.name!r} is {score.datatype} {list(score.shape)}"
    if score.datatype == "BYTES" or not score.shape:
        raise Unservable(f"{what}: it must be numbers, one or one for each class in a row")
    classes, given = len(signature.classes), score.shape[-1]
    if classes and len(score.shape) > 1 and given not in (-1, 1, classes):
        raise Unservable(f"{what}, but the signature has {classes} classes")


def prove(
    model: OnnxModel, inputs: Mapping[str, InputSpec], signature: Signature, profile: Profile
) -> None:
    """Run the model on a typical row, and on several at once where it takes several.

    Raises:
        Unservable: it fails, or answers otherwise than the signature says.
    """
    symbols = {spec.rows for spec in inputs.values()}
    takes_batches = all(symbols)
    names = [tensor.name for tensor in signature.outputs]
    for rows in (1, SEVERAL_ROWS, 1) if takes_batches else (1, 1):
        feeds = {name: typical(spec, profile, rows, symbols) for name, spec in inputs.items()}
        try:
            results = model.run(feeds, names, rows)
        except ModelFailed as error:
            raise Unservable(f"a typical row does not pass: {error}") from error
        for tensor, array in zip(signature.outputs, results, strict=True):
            _check_output(tensor, array)
            if tensor.name == signature.score and len(array) != rows:
                raise Unservable(f"{rows} typical rows get {len(array)} scores")


def typical(
    spec: InputSpec, profile: Profile, rows: int, symbols: AbstractSet[str] = frozenset()
) -> Array:
    """Return a value that the training rows had, as often as there are rows.

    `symbols` are those of the model's first dimensions, which others may have too.  The middle bin
    edge of a number, the first category of a category; zero, false or an empty string where the
    profile does not know the input.
    """
    tensor = spec.tensor
    sizes = [
        size if size >= 0 else (rows if axis == 0 or symbol in symbols else 1)
        for axis, (size, symbol) in enumerate(zip(tensor.shape, spec.symbols, strict=True))
    ]
    nothing = "" if tensor.datatype == "BYTES" else 0
    array = np.full(sizes, nothing, dtype=codec.NUMPY_TYPES[tensor.datatype])
    columns: tuple[NumericProfile | CategoryProfile, ...] = (*profile.numeric, *profile.categories)
    for column in columns:
        value = _typical_value(column)
        if value is None or isinstance(value, str) != (tensor.datatype == "BYTES"):
            continue
        if column.input == tensor.name and sizes and 0 <= column.index < sizes[-1]:
            array[..., column.index] = value
        elif not column.input and column.name == tensor.name:
            array[...] = value
    return array


def _typical_value(column: NumericProfile | CategoryProfile) -> float | str | None:
    if isinstance(column, CategoryProfile):
        return next(iter(column.categories), None)
    return column.edges[len(column.edges) // 2] if column.edges else None


def _check_output(tensor: Tensor, array: Array) -> None:
    what = f"output {tensor.name!r} of a typical row"
    if array.dtype != codec.NUMPY_TYPES[tensor.datatype]:
        raise Unservable(f"{what} has type {array.dtype}, the signature says {tensor.datatype}")
    fits = array.ndim == len(tensor.shape) and all(
        wanted in (-1, size) for size, wanted in zip(array.shape, tensor.shape, strict=True)
    )
    if not fits:
        raise Unservable(
            f"{what} has shape {list(array.shape)}, the signature says {list(tensor.shape)}"
        )
    if tensor.datatype in FLOATS and not np.isfinite(array).all():
        raise Unservable(f"{what} holds NaN or an infinity")
