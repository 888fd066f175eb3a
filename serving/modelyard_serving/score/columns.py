"""What the cells of a chunk mean to the model: the elements that a request would carry.

A missing number is NaN and a missing category is the empty text, as in training; integers and
booleans have no missing value.  Nothing is cut, wrapped or rounded to an integer: a column of
another kind is refused.  Messages count cells and name rows, and never quote a cell.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from modelyard_core.reference import CategoryProfile, NumericProfile, Profile
from modelyard_core.signature import Tensor
from modelyard_serving import codec
from modelyard_serving.codec import Array
from modelyard_serving.protocol import RequestInput
from modelyard_serving.score.failures import BadArguments, BadData

MISSING_WORDS = ("", "NA", "N/A", "NaN", "nan", "NULL", "null", "None")
FLOATS = ("FP16", "BF16", "FP32", "FP64")
ARROW_INTEGERS = {
    "INT8": pa.int8(),
    "INT16": pa.int16(),
    "INT32": pa.int32(),
    "INT64": pa.int64(),
    "UINT8": pa.uint8(),
    "UINT16": pa.uint16(),
    "UINT32": pa.uint32(),
    "UINT64": pa.uint64(),
}


@dataclass(frozen=True, slots=True)
class Feature:
    """An input of the model and the columns that it is read from."""

    tensor: Tensor
    columns: tuple[str, ...]
    """One for each element of a row; or one, with a list in each row."""

    @property
    def width(self) -> int:
        """Elements of a row."""
        return prod(self.tensor.shape[1:])

    @property
    def is_list(self) -> bool:
        """Whether a row's elements are in one cell."""
        return self.width != len(self.columns)


@dataclass(frozen=True, slots=True)
class Cells:
    """The elements of an input in a chunk, row by row."""

    feature: Feature
    elements: Array | list[str]

    def request_input(self, start: int, stop: int) -> RequestInput:
        """Return the rows from `start` to `stop` as a request would carry them."""
        tensor, width = self.feature.tensor, self.feature.width
        shape = (stop - start, *tensor.shape[1:])
        piece = self.elements[start * width : stop * width]
        if isinstance(piece, list):
            return RequestInput(tensor.name, tensor.datatype, shape, data=piece)
        raw = piece.view(np.uint8).data
        return RequestInput(tensor.name, tensor.datatype, shape, raw=raw)


def features_of(tensors: Sequence[Tensor], profile: Profile) -> tuple[Feature, ...]:
    """Return where each input is read from: its own column, or those that the profile names.

    Raises:
        BadArguments: an input has no row for each row.
    """
    return tuple(Feature(tensor, _columns(tensor, profile)) for tensor in tensors)


def _columns(tensor: Tensor, profile: Profile) -> tuple[str, ...]:
    if not tensor.shape or tensor.shape[0] != -1 or any(size < 1 for size in tensor.shape[1:]):
        raise BadArguments(
            "NotByRows",
            f"input {tensor.name!r} has shape {list(tensor.shape)}: only inputs whose first size "
            "varies, and no other, can be scored row by row",
        )
    profiled: tuple[NumericProfile | CategoryProfile, ...] = (*profile.numeric, *profile.categories)
    named = {column.index: column.name for column in profiled if column.input == tensor.name}
    if sorted(named) == list(range(prod(tensor.shape[1:]))):
        return tuple(named[index] for index in sorted(named))
    return (tensor.name,)


def read(feature: Feature, batch: pa.RecordBatch, first: int) -> Cells:
    """Return the cells of an input; `first` is the number of the chunk's first row in the file.

    Raises:
        BadData: cells that the model cannot be given.
    """
    name, datatype = feature.columns[0], feature.tensor.datatype
    if feature.is_list:
        flat = _flattened(batch.column(name), name, feature.width)
        # A row of the file is as many cells here.
        return Cells(feature, _elements(flat, name, datatype, first * feature.width))
    parts = [_elements(batch.column(name), name, datatype, first) for name in feature.columns]
    return Cells(feature, parts[0] if len(parts) == 1 else _interleaved(parts))


def _interleaved(parts: list[Array | list[str]]) -> Array | list[str]:
    if isinstance(parts[0], list):
        return [cell for row in zip(*parts, strict=True) for cell in row]
    return np.stack([np.asarray(part) for part in parts], axis=1).reshape(-1)


def _elements(column: pa.Array, name: str, datatype: str, first: int) -> Array | list[str]:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if datatype == "BYTES":
        return _texts(column, name)
    if datatype in FLOATS:
        return _floats(column, name, datatype, first)
    if datatype == "BOOL":
        return _booleans(column, name, first)
    return _integers(column, name, datatype, first)


def _texts(column: pa.Array, name: str) -> list[str]:
    kind = column.type
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        column = column.cast(pa.string())
    elif not _is_text(kind):
        raise BadData(
            "ColumnWrongType",
            f"column {name!r} holds {kind}, which cannot be a Category; write it as text",
        )
    found: list[str] = pc.fill_null(column, "").to_pylist()
    return found


def _floats(column: pa.Array, name: str, datatype: str, first: int) -> Array:
    kind = column.type
    if _is_text(kind):
        column = _numbers_in(column, name, first)
    elif pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        raise BadData("ColumnWrongType", f"column {name!r} holds {kind}, not numbers")
    if column.type != pa.float32():
        column = column.cast(pa.float64(), safe=False)
    values: Array = column.to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore"):
        values = values.astype(codec.NUMPY_TYPES[datatype], copy=False)
    _refuse(np.isinf(values), name, f"are infinite or too large for {datatype}", first)
    return values


def _numbers_in(column: pa.Array, name: str, first: int) -> pa.Array:
    trimmed = pc.utf8_trim_whitespace(column)
    absent = pc.is_in(trimmed, pa.array(MISSING_WORDS, trimmed.type))
    words = pc.if_else(absent, pa.scalar(None, trimmed.type), trimmed)
    try:
        return words.cast(pa.float64())
    except pa.ArrowInvalid:
        bad = np.asarray([not _is_number(word) for word in words.to_pylist()])
        _refuse(bad, name, "are not numbers", first)
        return pa.array([None if w is None else float(w) for w in words.to_pylist()], pa.float64())


def _is_number(word: str | None) -> bool:
    try:
        float(word or "0")
    except ValueError:
        return False
    return True


def _integers(column: pa.Array, name: str, datatype: str, first: int) -> Array:
    wanted = ARROW_INTEGERS[datatype]
    if not (_is_text(column.type) or pa.types.is_integer(column.type)):
        raise BadData("ColumnWrongType", f"column {name!r} holds {column.type}, not integers")
    return _exactly(column, name, datatype, wanted, first)


def _booleans(column: pa.Array, name: str, first: int) -> Array:
    if not (_is_text(column.type) or pa.types.is_boolean(column.type)):
        raise BadData("ColumnWrongType", f"column {name!r} holds {column.type}, not booleans")
    return _exactly(column, name, "BOOL", pa.bool_(), first)


def _exactly(column: pa.Array, name: str, datatype: str, wanted: pa.DataType, first: int) -> Array:
    """Return the values of a type that has none for a missing cell."""
    if _is_text(column.type):
        trimmed = pc.utf8_trim_whitespace(column)
        absent = pc.is_in(trimmed, pa.array(MISSING_WORDS, trimmed.type))
        column = pc.if_else(absent, pa.scalar(None, trimmed.type), trimmed)
    missing = np.asarray(column.is_null().to_numpy(zero_copy_only=False))
    _refuse(missing, name, f"are missing, which {datatype} cannot express", first)
    try:
        values: Array = column.cast(wanted).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid as error:
        raise BadData(
            "ColumnWrongType",
            f"column {name!r} holds values after row {first} that are no {datatype}",
        ) from error
    return values


def _flattened(column: pa.Array, name: str, width: int) -> pa.Array:
    kind = column.type
    is_list = pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind)
    if not (is_list or pa.types.is_large_list(kind)):
        raise BadData(
            "ColumnWrongType", f"column {name!r} holds {kind}, not lists of {width} elements"
        )
    lengths = pc.fill_null(pc.list_value_length(column), -1)
    if not pc.all(pc.equal(lengths, width)).as_py() and len(column):
        raise BadData(
            "ColumnWrongType", f"column {name!r} holds lists that have not {width} elements"
        )
    return column.flatten()


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _refuse(bad: Array, name: str, what: str, first: int) -> None:
    """Refuse a column for some of its cells; the sentence counts them and names the first row.

    Raises:
        BadData: when any cell is bad.
    """
    if bad.any():
        row = first + int(np.argmax(bad)) + 1
        raise BadData(
            "ColumnWrongType",
            f"column {name!r}: {int(bad.sum())} of {len(bad)} values {what} (first in row {row})",
        )
