"""Requests and answers of the usual form, read and written for many at once.  Pure.

A reader here knows the one form that nearly all requests have, and returns None for every other:
`protocol.parse` and the contract then say what it means, or what is wrong with it.  What it does
take, it takes as they do, to the bit.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import prod
from typing import Any, Literal

import msgspec
import numpy as np
import orjson
import simdjson

from modelyard_serving import codec
from modelyard_serving.array_writer import NOT_FINITE, escaped
from modelyard_serving.codec import Array
from modelyard_serving.contract import Contract, InputSpec
from modelyard_serving.fast_binary import cut_id
from modelyard_serving.protocol import id_member

_INTEGERS = ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64")
_ELEMENTS: Mapping[str, type] = {
    "BOOL": bool, "BYTES": str, "FP32": float, "FP64": float, **dict.fromkeys(_INTEGERS, int),
}  # fmt: skip
_PACKED: Mapping[str, str] = {"FP32": "f", "FP64": "d"}
SMALL_ROWS = 8
"""Rows of a request that shares a run, at most."""
REQUEST_KEYS = (["id", "inputs"], ["inputs"], ["inputs", "id"])
TENSOR_KEYS = ["data", "datatype", "name", "shape"]
DATA = b'"data":['
MAX_FRAMES = 256
MAX_FRAME_BYTES = 4096
Read = tuple[str | None, int, dict[str, Array]]
"""A request's id, rows and feeds."""


@dataclass(frozen=True, slots=True)
class _Frame:
    """What is around the numbers of a request says this."""

    request_id: str | None
    """None, too, where it is not remembered with the rest."""
    rows: int
    shapes: tuple[tuple[int, ...], ...]


class Columns:
    """The inputs of a model whose rows may share a run: each is [rows, fixed sizes…]."""

    def __init__(self, contract: Contract) -> None:
        self.specs = list(contract.inputs.values())
        self.widths = [prod(spec.tensor.shape[1:]) for spec in self.specs]
        self._columns = [(spec.tensor.name, _Column(spec)) for spec in self.specs]
        self.max_rows = contract.max_rows
        self.small_rows = min(SMALL_ROWS, contract.max_rows)

    @classmethod
    def of(cls, contract: Contract) -> "Columns | None":
        """Return the inputs, or None if they are not of this kind."""
        specs = contract.inputs.values()
        firsts = {spec.symbols[0] if spec.symbols else None for spec in specs}
        fixed = all(symbol is None for spec in specs for symbol in spec.symbols[1:])
        if len(firsts) != 1 or not all(firsts) or not fixed:
            return None
        columns = cls(contract)
        known = all(spec.tensor.datatype in _ELEMENTS for spec in specs)
        return columns if known and all(columns.widths) else None

    def rows_of_each(self, requests: Sequence[Any]) -> list[int]:
        """Return the rows of the first of some requests, up to one that is not what it says."""
        counts = [request.inputs[0].shape[0] for request in requests]
        for place, width in enumerate(self.widths):  # column by column is faster for many
            for at, request in enumerate(requests):
                rows, tensor = counts[at], request.inputs[place]
                if len(tensor.data) != rows * width or tensor.shape[0] != rows:
                    requests, counts = requests[:at], counts[:at]
                    break
        odd = (at for at, rows in enumerate(counts) if not 0 < rows <= self.small_rows)
        return counts[: next(odd, None)]

    def feeds(self, requests: Sequence[Any]) -> dict[str, Array] | None:
        """Return the rows of several requests below each other; None if one holds what none may."""
        feeds = {}
        try:
            for place, (name, column) in enumerate(self._columns):
                if len(requests) == 1:
                    feeds[name] = column.array(requests[0].inputs[place].data)
                else:
                    lists = [request.inputs[place].data for request in requests]
                    feeds[name] = column.array(list(chain.from_iterable(lists)))
        except OverflowError:
            return None
        return feeds


class _Column:
    """Makes arrays of one input from its numbers or texts, row after row."""

    __slots__ = ("_dtype", "_letter", "_pack_row", "_shape", "_width")

    def __init__(self, spec: InputSpec) -> None:
        datatype = spec.tensor.datatype
        self._dtype = codec.NUMPY_TYPES[datatype]
        self._shape = (-1, *spec.tensor.shape[1:])
        self._width = prod(self._shape[1:])
        self._letter = letter = _PACKED.get(datatype)
        self._pack_row = letter and struct.Struct(f"={self._width}{letter}").pack

    def array(self, flat: list[Any]) -> Array:
        """Return the array; raises `OverflowError` for a number that is too large."""
        if not self._pack_row:
            return np.array(flat, self._dtype).reshape(self._shape)
        # In one pass, that tells what is too large; a single row needs no new format.
        if len(flat) == self._width:
            packed = self._pack_row(*flat)
        else:
            packed = struct.pack(f"={len(flat)}{self._letter}", *flat)
        return np.frombuffer(packed, self._dtype).reshape(self._shape)


def small_reader(columns: Columns) -> Callable[[bytes], Any]:
    """Return a decoder of requests: names, datatypes, sizes and elements' types are checked in C.

    It raises `msgspec.DecodeError` or `UnicodeDecodeError` for what is not of the usual form.  The
    number of elements is not checked, nor is the range of numbers.
    """
    tensors = tuple(_tensor_type(spec) for spec in columns.specs)
    request = msgspec.defstruct(
        "Request",
        [("inputs", tuple.__class_getitem__(tensors)), ("id", str | None, None)],
        forbid_unknown_fields=True,
        gc=False,
    )
    return msgspec.json.Decoder(request).decode


def _tensor_type(spec: InputSpec) -> type:
    sizes = tuple(Literal.__getitem__(size) for size in spec.tensor.shape[1:])
    fields = [
        ("name", Literal.__getitem__(spec.tensor.name)),
        ("datatype", Literal.__getitem__(spec.tensor.datatype)),
        ("shape", tuple.__class_getitem__((int, *sizes))),
        ("data", list.__class_getitem__(_ELEMENTS[spec.tensor.datatype])),
    ]
    return msgspec.defstruct("Tensor", fields, forbid_unknown_fields=True, gc=False)


class LargeReader:
    """Reads requests of many numbers without making an object of each.

    What is around the numbers decides everything but them, and clients repeat it to the byte.  So it is
    read once and remembered, without the id where that is what it begins with.
    """

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._parser = simdjson.Parser()
        # One of `inputs`, then two of each tensor: a further one is nesting, which is read elsewhere.
        self._brackets = 1 + 2 * len(columns.specs)
        self._frames: dict[tuple[bytes, ...], _Frame] = {}

    @classmethod
    def of(cls, columns: Columns) -> "LargeReader | None":
        """Return a reader, or None where an input is no float."""
        floats = all(spec.tensor.datatype in codec.FLOATS for spec in columns.specs)
        return cls(columns) if floats else None

    def read(self, body: bytes) -> Read | None:
        """Return a request's id, rows and feeds; None for what is not of the usual form."""
        try:
            request_id, frame, lists = _taken_apart(body, len(self._columns.specs))
            known = self._frames.get(frame)
            if known is not None:
                return self._framed(request_id, known, lists)
            found = self._whole(body)
        except (ValueError, TypeError, AttributeError, RuntimeError, KeyError):
            return None
        if found is not None and lists:
            self._remember(frame, found, is_cut=request_id is not None)
        return found

    def _framed(
        self, request_id: str | None, known: "_Frame", lists: Sequence[bytes]
    ) -> Read | None:
        feeds = {}
        for spec, shape, numbers in zip(self._columns.specs, known.shapes, lists, strict=True):
            array = _filled(spec, shape, self._parser.parse(numbers))
            if array is None:
                return None
            feeds[spec.tensor.name] = array
        return known.request_id if request_id is None else request_id, known.rows, feeds

    def _remember(self, frame: tuple[bytes, ...], found: Read, *, is_cut: bool) -> None:
        if sum(map(len, frame)) > MAX_FRAME_BYTES:
            return
        if len(self._frames) >= MAX_FRAMES:
            self._frames.clear()
        request_id, rows, feeds = found
        shapes = tuple(array.shape for array in feeds.values())
        self._frames[frame] = _Frame(None if is_cut else request_id, rows, shapes)

    def _whole(self, body: bytes) -> Read | None:
        if body[:1] != b"{" or not _holds(body, b"[", self._brackets):
            return None
        return self._request(self._parser.parse(body))

    def _request(self, document: Any) -> Read | None:  # noqa: ANN401
        keys = list(document.keys())
        if keys not in REQUEST_KEYS:
            return None
        request_id = document["id"] if "id" in keys else None
        if request_id is not None and type(request_id) is not str:
            return None
        inputs = document["inputs"]
        if len(inputs) != len(self._columns.specs):
            return None
        feeds = {}
        rows = set()
        for spec, tensor in zip(self._columns.specs, inputs, strict=True):
            array = _large_array(spec, tensor)
            if array is None or len(array) > self._columns.max_rows:
                return None
            feeds[spec.tensor.name] = array
            rows.add(len(array))
        return (request_id, rows.pop(), feeds) if len(rows) == 1 else None


def _taken_apart(body: bytes, count: int) -> tuple[str | None, tuple[bytes, ...], list[bytes]]:
    """Return the id that a body begins with, what is around its lists of data, and these lists.

    There are so many lists, or none where the body is not of that form.  A list ends at the first
    bracket; text cannot hold what one begins with, since a quote within text has a backslash.

    >>> _taken_apart(b'{"id":"7","inputs":[{"data":[1,2]}]}', 1)
    ('7', (b'id', b'{"inputs":[{"data":', b'}]}'), [b'[1,2]'])
    """
    around, lists = [], []
    at = 0
    for _ in range(count):
        begin = body.find(DATA, at) + len(DATA) - 1
        end = body.find(b"]", begin) + 1
        if begin < len(DATA) - 1 or not end:
            return None, (), []
        around.append(body[at:begin])
        lists.append(body[begin:end])
        at = end
    around.append(body[at:])
    request_id, around[0] = cut_id(around[0])
    # A second id behind the lists is refused, so one that is alone there must not look the same.
    return request_id, (b"" if request_id is None else b"id", *around), lists


def _holds(body: bytes, what: bytes, times: int) -> bool:
    """Return whether something is in a body so many times: to find a few costs less than to count."""
    at = -1
    for _ in range(times):
        at = body.find(what, at + 1)
        if at < 0:
            return False
    return body.find(what, at + 1) < 0


def _large_array(spec: InputSpec, tensor: Any) -> Array | None:  # noqa: ANN401
    if sorted(tensor.keys()) != TENSOR_KEYS:
        return None
    wanted = spec.tensor
    if tensor["name"] != wanted.name or tensor["datatype"] != wanted.datatype:
        return None
    rows, *rest = shape = tensor["shape"].as_list()
    whole = all(type(size) is int for size in shape)
    if not whole or rows < 1 or tuple(rest) != wanted.shape[1:]:
        return None
    return _filled(spec, shape, tensor["data"])


def _filled(spec: InputSpec, shape: Sequence[int], data: Any) -> Array | None:  # noqa: ANN401
    """Return the numbers of a list in this shape; None if there are not so many."""
    numbers = np.frombuffer(data.as_buffer(of_type="d"), dtype=np.float64)
    if len(numbers) != prod(shape):
        return None
    if spec.tensor.datatype != "FP32":
        return numbers.reshape(shape)
    single = _single(numbers)
    return None if single is None else single.reshape(shape)


def _single(numbers: Array) -> Array | None:
    """Return finite numbers as FP32; None where one is too large for it."""
    try:
        with np.errstate(over="raise"):
            return numbers.astype(np.float32)
    except FloatingPointError:
        return None


class RowWriter:
    """Writes the answers of a run that several requests shared."""

    def __init__(self, model: str, version: str, outputs: Sequence[tuple[str, str]]) -> None:
        self._head = b'{"model_name":%b,"model_version":%b,' % (
            _literal(model),
            _literal(version),
        )
        self._outputs = outputs
        self._tails: list[tuple[int, ...]] = []
        self._templates: dict[int, bytes] = {}

    def answer(self, request_id: str | None, rows: int, arrays: Sequence[Array]) -> bytes | None:
        """Return the answer of a request that ran alone; None where an output has no such form."""
        self._learn_tails(arrays)
        parts = [id_member(request_id)]
        for (_, datatype), array in zip(self._outputs, arrays, strict=True):
            is_whole = array.ndim and len(array) == rows
            found = _written(datatype, array.ravel()) if is_whole else None
            if found is None:
                return None
            parts.append(found[1:-1])
        return self._template(rows) % tuple(parts)

    def columns(self, rows: int, arrays: Sequence[Array]) -> list[list[bytes]] | None:
        """Return, for each output, the elements of each row; None if one has no such form."""
        self._learn_tails(arrays)
        columns = []
        for (_, datatype), array in zip(self._outputs, arrays, strict=True):
            found = _pieces(datatype, array) if array.ndim and len(array) == rows else None
            if found is None:
                return None
            columns.append(found)
        return columns

    def answers(
        self,
        request_ids: Sequence[str | None],
        counts: Sequence[int],
        columns: Sequence[Sequence[bytes]],
    ) -> list[bytes]:
        """Return the answer of each request; `counts` are the rows of each, `columns` of all."""
        names = list(map(id_member, request_ids))
        if len(columns[0]) == len(names):  # one row each
            return list(map(self._template(1).__mod__, zip(names, *columns, strict=True)))
        answers = []
        begin = 0
        for name, count in zip(names, counts, strict=True):
            end = begin + count
            elements = (b",".join(column[begin:end]) for column in columns)
            answers.append(self._template(count) % (name, *elements))
            begin = end
        return answers

    def _learn_tails(self, arrays: Sequence[Array]) -> None:
        tails = [array.shape[1:] for array in arrays]
        if tails != self._tails:
            self._tails = tails
            self._templates.clear()

    def _template(self, rows: int) -> bytes:
        """Return the form of an answer of so many rows; an id with its key comes first."""
        found = self._templates.get(rows)
        if found is None:
            tensors = b",".join(
                b'{"name":%b,"datatype":"%b","shape":%b,"data":[%%b]}'
                % (_literal(name), datatype.encode(), orjson.dumps((rows, *tail)))
                for (name, datatype), tail in zip(self._outputs, self._tails, strict=True)
            )
            found = self._templates[rows] = self._head + b'%%b"outputs":[%b]}' % tensors
        return found


def _literal(text: str) -> bytes:
    """Return a JSON string as a template's constant."""
    return escaped(orjson.dumps(text))


def _pieces(datatype: str, array: Array) -> list[bytes] | None:
    """Return the elements of each row as JSON, without brackets; None if one has no such form."""
    if not array.size:
        return None
    rows = np.ascontiguousarray(array).reshape(len(array), -1)
    if datatype == "BYTES":
        each = [_written(datatype, row) for row in rows]
        texts = [row[1:-1] for row in each if row is not None]
        return texts if len(texts) == len(each) else None
    # One call for all rows; numbers hold neither brackets nor commas.
    is_one = rows.shape[1] == 1
    written = _written(datatype, rows[:, 0] if is_one else rows)
    if written is None:
        return None
    return written[1:-1].split(b",") if is_one else written[2:-2].split(b"],[")


def _written(datatype: str, array: Array) -> bytes | None:
    """Return an array as JSON; None if it has no such form, or nothing in it."""
    if datatype in codec.BINARY_ONLY or not array.size:
        return None
    try:
        written = orjson.dumps(
            array.tolist() if datatype == "BYTES" else array, option=orjson.OPT_SERIALIZE_NUMPY
        )
    except (TypeError, ValueError):
        return None
    return None if datatype in codec.FLOATS and NOT_FINITE in written else written
