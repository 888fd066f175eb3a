"""Tensors in the JSON of the Open Inference Protocol ↔ numpy arrays.  Pure.

Strict on the way in: a value that the datatype cannot hold exactly (integers, booleans) or at all
(floats) is refused, never wrapped, truncated or cast.  On the way out floats are the shortest text
that reads back as the same float of that width, and NaN or an infinity is refused, since JSON has
no form for them: who wants them asks for binary data.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from math import prod
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from modelyard_serving.errors import InvalidRequest

Array = NDArray[Any]


class _NumpyTypes(dict[str, np.dtype[Any]]):
    """BF16 is no key, since its library costs megabytes, but can be had all the same."""

    def __missing__(self, datatype: str) -> np.dtype[Any]:
        if datatype != "BF16":
            raise KeyError(datatype)
        import ml_dtypes

        bfloat16: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return bfloat16


NUMPY_TYPES = _NumpyTypes(
    {
        "BOOL": np.dtype(np.bool_),
        "UINT8": np.dtype(np.uint8),
        "UINT16": np.dtype(np.uint16),
        "UINT32": np.dtype(np.uint32),
        "UINT64": np.dtype(np.uint64),
        "INT8": np.dtype(np.int8),
        "INT16": np.dtype(np.int16),
        "INT32": np.dtype(np.int32),
        "INT64": np.dtype(np.int64),
        "FP16": np.dtype(np.float16),
        "FP32": np.dtype(np.float32),
        "FP64": np.dtype(np.float64),
        "BYTES": np.dtype(object),
    }
)
"""What numpy calls the protocol's datatypes."""

DATATYPES = (*NUMPY_TYPES, "BF16")
"""The protocol's datatypes."""

BINARY_ONLY = ("FP16", "BF16")
"""Those whose JSON form would not be exact."""

JSON_TYPES = tuple(datatype for datatype in DATATYPES if datatype not in BINARY_ONLY)

ONNX_TYPES: Mapping[str, str] = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(bfloat16)": "BF16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}

FLOATS = frozenset({"FP32", "FP64"})
LEAST_BEYOND = 2.0**63
"""From here on, up and down, the reader of JSON makes floats of integers that have no 64 bits."""
ASK_FOR_BINARY = "which JSON cannot carry; ask for it as binary data"

_JSON_NAMES = {
    bool: "a boolean",
    int: "an integer",
    float: "a number with a fraction or exponent",
    str: "a string",
    type(None): "null",
    list: "an array",
    dict: "an object",
}


def decode(name: str, datatype: str, shape: Sequence[int], data: object) -> Array:
    """Return the array that an input's `data` holds, row-major, nested or flat.

    Raises:
        InvalidRequest: another count, nesting, type or range than shape and datatype say.
    """
    return _to_array(name, datatype, shape, _flatten(name, shape, data), nulls=False)


def decode_with_missing(name: str, datatype: str, shape: Sequence[int], data: object) -> Array:
    """Return the array as `decode` does, with null for a missing value: NaN, or an empty string.

    Raises:
        InvalidRequest: as `decode`, and for a datatype that has no missing value.
    """
    if datatype not in FLOATS and datatype != "BYTES":
        raise InvalidRequest(f"input {name!r}: {datatype} has no missing value")
    return _to_array(name, datatype, shape, _flatten(name, shape, data), nulls=True)


def _flatten(name: str, shape: Sequence[int], data: object) -> list[Any]:
    if not isinstance(data, list):
        if not shape and not isinstance(data, dict):
            return [data]
        raise InvalidRequest(f"input {name!r}: data must be an array")
    if not data or not isinstance(data[0], list):
        return data
    level: list[Any] = [data]
    for depth, size in enumerate(shape):
        for item in level:
            if not isinstance(item, list) or len(item) != size:
                raise InvalidRequest(
                    f"input {name!r}: nested data does not have shape {list(shape)}: level "
                    f"{depth} needs arrays of {size}"
                )
        level = list(chain.from_iterable(level))
    return level


def _accepted(datatype: str) -> frozenset[type]:
    if datatype == "BOOL":
        return frozenset({bool})
    if datatype == "BYTES":
        return frozenset({str})
    if datatype in FLOATS:
        return frozenset({int, float})
    return frozenset({int})


_ACCEPTED = {datatype: _accepted(datatype) for datatype in JSON_TYPES}


def _to_array(
    name: str, datatype: str, shape: Sequence[int], flat: list[Any], *, nulls: bool
) -> Array:
    if len(flat) != prod(shape):
        raise InvalidRequest(
            f"input {name!r}: shape {list(shape)} means {prod(shape)} elements, data has {len(flat)}"
        )
    kinds = set(map(type, flat))
    if nulls and type(None) in kinds:
        filler: Any = "" if datatype == "BYTES" else float("nan")
        flat = [filler if value is None else value for value in flat]
        kinds = set(map(type, flat))
    if not kinds <= _ACCEPTED[datatype]:
        raise _wrong_kind(name, datatype, flat)
    try:
        with np.errstate(over="ignore"):
            array = np.array(flat, dtype=NUMPY_TYPES[datatype])
    except OverflowError as error:
        raise _out_of_range(name, datatype, flat) from error
    if datatype in FLOATS and np.isinf(array).any():
        raise _out_of_range(name, datatype, flat)
    return array.reshape(tuple(shape))


def _wrong_kind(name: str, datatype: str, flat: list[Any]) -> InvalidRequest:
    index, value = next(
        (i, value) for i, value in enumerate(flat) if type(value) not in _ACCEPTED[datatype]
    )
    if _ACCEPTED[datatype] == {int} and type(value) is float and abs(value) >= LEAST_BEYOND:
        return InvalidRequest(f"input {name!r}: element {index} is out of range for {datatype}")
    found = _JSON_NAMES.get(type(value), type(value).__name__)
    return InvalidRequest(f"input {name!r}: element {index} is {found}, which is no {datatype}")


def _out_of_range(name: str, datatype: str, flat: list[Any]) -> InvalidRequest:
    dtype = NUMPY_TYPES[datatype]
    info: Any = np.finfo(dtype) if datatype in FLOATS else np.iinfo(dtype)
    low, high = (float(info.min), float(info.max)) if datatype in FLOATS else (info.min, info.max)
    outside = (i for i, value in enumerate(flat) if not low <= value <= high)
    return InvalidRequest(
        f"input {name!r}: element {next(outside, 0)} is out of range for {datatype}"
    )


def encode(name: str, datatype: str, array: Array) -> bytes:
    """Return an output's elements as a flat JSON array.

    Raises:
        InvalidRequest: datatype or values have no JSON form: half floats, NaN, an infinity; the
            caller must ask for binary data.
    """
    what = f"output {name!r}"
    if datatype in BINARY_ONLY:
        raise InvalidRequest(f"{what} is {datatype}, {ASK_FOR_BINARY}")
    if datatype in FLOATS and not np.isfinite(array).all():
        first = int(np.argmin(np.isfinite(array).reshape(-1)))
        raise InvalidRequest(
            f"{what} holds NaN or an infinity at element {first}, {ASK_FOR_BINARY}"
        )
    if datatype == "BYTES":
        try:
            return orjson.dumps(array.reshape(-1).tolist())
        except TypeError as error:
            raise InvalidRequest(
                f"{what} holds text that is not UTF-8, {ASK_FOR_BINARY}"
            ) from error
    return orjson.dumps(np.ascontiguousarray(array).reshape(-1), option=orjson.OPT_SERIALIZE_NUMPY)
