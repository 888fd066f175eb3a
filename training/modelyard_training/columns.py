"""What the cells of a column mean: numbers, categories, keys, times and labels.

A number is float32, because that is what a serving pod will be given; a category is text and a
missing one is the empty text.  Messages count cells and name rows, and never quote a cell.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from modelyard_training.failures import BadData

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Texts = npt.NDArray[np.object_]
Flags = npt.NDArray[np.bool_]

MISSING_WORDS = ("", "NA", "N/A", "NaN", "nan", "NULL", "null", "None")
MANY_CLASSES = 100
INT64_DIGITS = 18


def doubles(column: Any, name: str) -> Doubles:
    """Return the numbers of a column, NaN where one is missing.

    Raises:
        BadData: cells that are neither numbers nor missing.
    """
    column = _plain(column)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return _numbers_in(column, name)
    kind = column.type
    if pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        raise BadData("ColumnWrongType", f"column {name!r} holds {kind}, not numbers")
    return np.asarray(
        column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64
    )


def floats(column: Any, name: str) -> Floats:
    """Return the numbers of a column as a serving pod would get them.

    Raises:
        BadData: cells that are no numbers, or that float32 cannot hold.
    """
    with np.errstate(over="ignore"):
        values = doubles(column, name).astype(np.float32)
    refuse(np.isinf(values), name, "are infinite or too large for a 32-bit number")
    return values


def texts(column: Any, name: str) -> Texts:
    """Return the categories of a column, empty where one is missing.

    Raises:
        BadData: cells that are neither text nor integers.
    """
    column = _plain(column)
    kind = column.type
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        column = column.cast(pa.string())
    elif not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise BadData(
            "ColumnWrongType",
            f"column {name!r} holds {kind}, which cannot be a Category; write it as text",
        )
    return np.asarray(pc.fill_null(column, "").to_numpy(zero_copy_only=False), dtype=np.object_)


def labels(column: Any, name: str) -> npt.NDArray[Any]:
    """Return the classes of the target: integers when all of them are, else text.

    Raises:
        BadData: a label is missing, there is one class only, or there are too many.
    """
    if pa.types.is_floating(column.type):
        numbers = doubles(column, name)
        refuse(np.isnan(numbers), name, "have no label; remove these rows", "TargetMissing")
        refuse(numbers != np.floor(numbers), name, "are not whole numbers", "ColumnWrongType")
        return _checked_classes(numbers.astype(np.int64), name)
    words = np.asarray([word.strip() for word in texts(column, name)], dtype=np.object_)
    absent = np.isin(words, np.asarray(MISSING_WORDS, dtype=np.object_))
    refuse(absent, name, "have no label; remove these rows", "TargetMissing")
    distinct = set(words)
    if all(_is_integer(word) for word in distinct):
        return _checked_classes(words.astype(np.int64), name)
    return _checked_classes(words, name)


def moments(column: Any, name: str) -> Doubles:
    """Return points in time as numbers: of a time column, of ISO 8601 text, or plain numbers.

    Raises:
        BadData: cells that are no times.
    """
    column = _plain(column)
    if pa.types.is_temporal(column.type):
        return np.asarray(column.cast(pa.timestamp("us")).cast(pa.int64()).to_numpy(), np.float64)
    if pa.types.is_string(column.type):
        series = pd.Series(texts(column, name))
        times = pd.to_datetime(series, errors="coerce", utc=True, format="ISO8601")
        if bool(times.notna().all()):
            return np.asarray(times.astype("int64"), dtype=np.float64)
    values = doubles(column, name)
    refuse(~np.isfinite(values), name, "are no times", "ColumnWrongType")
    return values


def refuse(bad: Flags, name: str, what: str, code: str = "ColumnWrongType") -> None:
    """Refuse a column for some of its cells.

    Raises:
        BadData: when any cell is bad; the sentence counts them and names the first row.
    """
    count = int(bad.sum())
    if count:
        first = int(np.argmax(bad)) + 1
        raise BadData(
            code, f"column {name!r}: {count} of {len(bad)} values {what} (first in row {first})"
        )


def _numbers_in(column: Any, name: str) -> Doubles:
    trimmed = pc.utf8_trim_whitespace(column)
    absent = np.asarray(pc.is_in(trimmed, pa.array(MISSING_WORDS)).to_numpy(zero_copy_only=False))
    absent |= np.asarray(trimmed.is_null().to_numpy(zero_copy_only=False))
    words = trimmed.to_numpy(zero_copy_only=False)
    values = np.asarray(pd.to_numeric(words, errors="coerce"), dtype=np.float64)
    refuse(np.isnan(values) & ~absent, name, "are not numbers")
    return values


def _plain(column: Any) -> Any:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if isinstance(column, pa.ChunkedArray):
        return column.combine_chunks()
    return column


def _is_integer(word: str) -> bool:
    digits = word.removeprefix("-")
    return digits.isascii() and digits.isdecimal() and len(digits) <= INT64_DIGITS


def _checked_classes(values: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    count = len(set(values.tolist()))
    if count == 1:
        raise BadData("OneClassOnly", f"every row has the same label in column {name!r}")
    if count > MANY_CLASSES:
        raise BadData(
            "TooManyClasses",
            f"column {name!r} has {count} classes, at most {MANY_CLASSES} are possible; "
            "is this a Regression?",
        )
    return values
