"""Tensors as raw bytes, the protocol's binary extension, ↔ numpy arrays.  Pure.

Little-endian, row-major, nothing between the elements.  A BOOL is one byte, 0 or 1.  An element of
BYTES is its length, four bytes, and then so many bytes of UTF-8: a string of ONNX is text, and what
is no text cannot reach a model.

Numbers are not copied: an array lies over the bytes that it came from, read-only.
"""

import struct
import sys
from collections.abc import Sequence
from math import prod

import numpy as np

from modelyard_serving.codec import NUMPY_TYPES, Array
from modelyard_serving.errors import InvalidRequest

LENGTH = struct.Struct("<I")
COPIED_BYTES = 1 << 14
"""To copy so few costs less than to find out how not to."""
_UNSIGNED = {
    name: np.dtype(f"<u{dtype.itemsize}") for name, dtype in NUMPY_TYPES.items() if name != "BYTES"
} | {"BF16": np.dtype("<u2")}
"""By datatype: the little-endian integer of its width, which has the same bits."""


def decode(name: str, datatype: str, shape: Sequence[int], raw: bytes | memoryview) -> Array:
    """Return the array that an input's bytes hold.

    Raises:
        InvalidRequest: another number of bytes than shape and datatype say, or bytes that are no
            value of the datatype.
    """
    if datatype == "BYTES":
        return _strings(name, shape, raw)
    width = _UNSIGNED[datatype]
    if len(raw) != prod(shape) * width.itemsize:
        raise InvalidRequest(
            f"input {name!r}: shape {list(shape)} of {datatype} means "
            f"{prod(shape) * width.itemsize} bytes, not {len(raw)}"
        )
    bits = np.frombuffer(raw, dtype=width)
    if datatype == "BOOL" and (bits > 1).any():
        first = int(np.argmax(bits > 1))
        raise InvalidRequest(f"input {name!r}: element {first} is {bits[first]}, which is no BOOL")
    # Where a tensor begins is for the client to choose; the model's code wants whole words.
    bits = np.require(bits.astype(width.newbyteorder("="), copy=False), requirements="A")
    return bits.view(NUMPY_TYPES[datatype]).reshape(tuple(shape))


def _strings(name: str, shape: Sequence[int], raw: bytes | memoryview) -> Array:
    elements: list[str] = []
    count, at, end = prod(shape), 0, len(raw)
    for index in range(count):
        begin = at + LENGTH.size
        if begin > end:
            raise InvalidRequest(f"input {name!r}: the bytes end before element {index} of {count}")
        at = begin + LENGTH.unpack_from(raw, at)[0]
        if at > end:
            raise InvalidRequest(
                f"input {name!r}: element {index} needs {at - begin} bytes, {end - begin} are there"
            )
        elements.append(text(name, index, raw[begin:at]))
    if at != end:
        raise InvalidRequest(
            f"input {name!r}: {end - at} bytes follow element {count - 1}, the last"
        )
    return np.array(elements, dtype=object).reshape(tuple(shape))


def text(name: str, index: int, element: bytes | memoryview) -> str:
    """Return an element of BYTES as the text that a model takes.

    Raises:
        InvalidRequest: it is not UTF-8.
    """
    try:
        return str(element, "utf-8")
    except UnicodeDecodeError as error:
        raise InvalidRequest(
            f"input {name!r}: element {index} is not UTF-8, which the strings of a model are"
        ) from error


def one_element(raw: bytes | memoryview) -> bytes:
    """Return the BYTES tensor whose one element is all of the bytes."""
    return LENGTH.pack(len(raw)) + bytes(raw)


def encode(datatype: str, array: Array) -> bytes | memoryview:
    """Return an output's elements as bytes, without a copy where the array is whole and not small."""
    if datatype == "BYTES":
        encoded = [element.encode() for element in array.reshape(-1).tolist()]
        return b"".join(LENGTH.pack(len(element)) + element for element in encoded)
    if array.nbytes <= COPIED_BYTES and sys.byteorder == "little":
        return array.tobytes()
    width = _UNSIGNED[datatype]
    bits = np.ascontiguousarray(array).reshape(-1).view(width.newbyteorder("="))
    return bits.astype(width, copy=False).view(np.uint8).data
