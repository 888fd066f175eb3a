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


@dataclass(frozen=True, slots=True)
class _Where:
    """What messages say of some cells: their column, and the rows that they are in."""

    name: str
    first: int
    """Number of the first row."""
    width: int = 1
    """Cells of a row."""

    def row(self, cell: int) -> int:
        """Return the row of a cell, counted from one."""
        return self.first + cell // self.width + 1


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
        return Cells(feature, _elements(flat, _Where(name, first, feature.width), datatype))
    parts = [
        _elements(batch.column(name), _Where(name, first), datatype) for name in feature.columns
    ]
    return Cells(feature, parts[0] if len(parts) == 1 else _interleaved(parts))


def _interleaved(parts: list[Array | list[str]]) -> Array | list[str]:
    if isinstance(parts[0], list):
        return [cell for row in zip(*parts, strict=True) for cell in row]
    return np.stack([np.asarray(part) for part in parts], axis=1).reshape(-1)


def _elements(column: pa.Array, where: _Where, datatype: str) -> Array | list[str]:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_null(column.type):  # a column in which everything is missing has no other type
        column = column.cast(pa.string())
    if datatype == "BYTES":
        return _texts(column, where)
    if datatype in FLOATS:
        return _floats(column, where, datatype)
    if datatype == "BOOL":
        return _exactly(column, where, "BOOL", pa.bool_())
    return _exactly(column, where, datatype, ARROW_INTEGERS[datatype])


def _texts(column: pa.Array, where: _Where) -> list[str]:
    kind = column.type
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        column = column.cast(pa.string())
    elif not _is_text(kind):
        raise BadData(
            "ColumnWrongType",
            f"column {where.name!r} holds {kind}, which cannot be a Category; write it as text",
        )
    found: list[str] = pc.fill_null(column, "").to_pylist()
    return found


def _floats(column: pa.Array, where: _Where, datatype: str) -> Array:
    kind = column.type
    if _is_text(kind):
        column = _numbers_in(column, where)
    elif pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        raise BadData("ColumnWrongType", f"column {where.name!r} holds {kind}, not numbers")
    if column.type != pa.float32():
        column = column.cast(pa.float64(), safe=False)
    values: Array = column.to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore"):
        values = values.astype(codec.NUMPY_TYPES[datatype], copy=False)
    _refuse(np.isinf(values), where, f"are infinite or too large for {datatype}")
    return values


def _numbers_in(column: pa.Array, where: _Where) -> pa.Array:
    words = _with_nulls(column)
    try:
        return words.cast(pa.float64())
    except pa.ArrowInvalid:
        bad = np.asarray([not _is_number(word) for word in words.to_pylist()])
        _refuse(bad, where, "are not numbers")
        return pa.array(map(_number, words.to_pylist()), pa.float64())


def _number(word: str | None) -> float | None:
    """Return a number as Python reads it, which takes more forms than Arrow."""
    return None if word is None else float(word)


def _is_number(word: str | None) -> bool:
    try:
        _number(word)
    except ValueError:
        return False
    return word is None or "_" not in word


def _exactly(column: pa.Array, where: _Where, datatype: str, wanted: pa.DataType) -> Array:
    """Return the values of a type that has none for a missing cell, and takes no other's."""
    is_own = pa.types.is_boolean if datatype == "BOOL" else pa.types.is_integer
    if not (_is_text(column.type) or is_own(column.type)):
        raise BadData(
            "ColumnWrongType", f"column {where.name!r} holds {column.type}, not {datatype}"
        )
    if _is_text(column.type):
        column = _with_nulls(column)
    missing = np.asarray(column.is_null().to_numpy(zero_copy_only=False))
    _refuse(missing, where, f"are missing, which {datatype} cannot express")
    try:
        values: Array = column.cast(wanted).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid as error:
        bad = np.asarray([not _can_be(wanted, cell) for cell in column])
        _refuse(bad, where, f"are no {datatype}")
        raise BadData("ColumnWrongType", f"column {where.name!r} is no {datatype}") from error
    return values


def _can_be(wanted: pa.DataType, cell: pa.Scalar) -> bool:
    try:
        cell.cast(wanted)
    except pa.ArrowInvalid:
        return False
    return True


def _with_nulls(column: pa.Array) -> pa.Array:
    """Return trimmed text with nulls where a word says that the value is missing."""
    trimmed = pc.utf8_trim_whitespace(column)
    absent = pc.is_in(trimmed, pa.array(MISSING_WORDS, trimmed.type))
    return pc.if_else(absent, pa.scalar(None, trimmed.type), trimmed)


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


def _refuse(bad: Array, where: _Where, what: str) -> None:
    """Refuse a column for some of its cells; the sentence counts them and names the first row.

    Raises:
        BadData: when any cell is bad.
    """
    if bad.any():
        raise BadData(
            "ColumnWrongType",
            f"column {where.name!r}: {int(bad.sum())} of {len(bad)} values {what} "
            f"(first in row {where.row(int(np.argmax(bad)))})",
        )
