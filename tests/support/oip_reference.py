"""The Open Inference Protocol said as plainly as it can be: the oracle of the differential test.

It shares no code with the server: json, struct, numpy and onnxruntime, one element after the other.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite, prod
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from support.random_models import RandomModel

WHOLE = {
    f"{kind}{bits}": (
        (0, 2**bits - 1) if kind == "UINT" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    )
    for kind in ("INT", "UINT")
    for bits in (8, 16, 32, 64)
}
DTYPES: dict[str, Any] = {
    "BOOL": np.bool_,
    "FP16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "FP32": np.float32,
    "FP64": np.float64,
    **{name: np.dtype(name.lower()).type for name in WHOLE},
}
DATATYPES = {*DTYPES, "BYTES"}
JSON_FLOATS = ("FP32", "FP64")
HALVES = ("FP16", "BF16")
LARGEST_EMPTY = 1 << 24
"""What the sizes of an empty tensor may multiply to beside its zeros."""
UNSUPPORTED = ("classification", "shared_memory_region")


class Refused(Exception):
    """The request is wrong: 400."""


class TooManyRows(Exception):
    """The request is right, but too large: 413."""


class Broken(Exception):
    """The model failed on a right request: 500."""


@dataclass(frozen=True, slots=True)
class Output:
    """One output of an answer."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    elements: bytes
    """As the binary extension writes them."""
    is_binary: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server has to answer."""

    status: int
    id: str | None = None
    outputs: tuple[Output, ...] = ()
    why: str = ""


@dataclass(slots=True)
class _Request:
    id: str | None
    arrays: dict[str, Any] = field(default_factory=dict)
    rows: int = 1
    outputs: list[tuple[str, bool]] = field(default_factory=list)


class Reference:
    """Answers requests to one model."""

    def __init__(self, model: RandomModel, max_rows: int) -> None:
        self.model = model
        self.max_rows = max_rows
        self.datatypes = {tensor.name: tensor.datatype for tensor in model.signature.outputs}
        self.session = onnxruntime.InferenceSession(
            _with_wide_halves(model), _quiet(), providers=["CPUExecutionProvider"]
        )

    def answer(self, body: bytes, json_length: int | None) -> Answer:
        """Return what a request must be answered with."""
        try:
            request = self._read(body, json_length)
            values = self._run(request)
            outputs = tuple(
                self._told(name, values[name], binary) for name, binary in request.outputs
            )
        except Refused as error:
            return Answer(400, why=str(error))
        except TooManyRows as error:
            return Answer(413, why=str(error))
        except Broken as error:
            return Answer(500, why=str(error))
        return Answer(200, request.id, outputs)

    # reading

    def _read(self, body: bytes, json_length: int | None) -> _Request:
        if json_length == 0:
            return self._read_raw(body)
        head, rest = (body, None) if json_length is None else _cut(body, json_length)
        document = _document(head)
        parameters = _parameters(document)
        every = _boolean(parameters.get("binary_data_output", False))
        request = _Request(_id(document))
        tensors = document.get("inputs")
        _need(isinstance(tensors, list) and tensors, "inputs")
        read = [self._tensor(tensor, rest) for tensor in tensors]
        _need(not rest, "bytes are left")
        request.outputs = self._wanted(document, every)
        names = [name for name, _ in read]
        _need(sorted(names) == sorted(i.name for i in self.model.inputs), "names of inputs")
        request.arrays = dict(read)
        self._check_sizes(request)
        return request

    def _read_raw(self, body: bytes) -> _Request:
        _need(len(self.model.inputs) == 1, "raw needs one input")
        only = self.model.inputs[0]
        varying = [size for size in only.sizes if not isinstance(size, int)]
        _need(len(varying) <= 1, "raw needs at most one size that varies")
        fixed = prod(size for size in only.sizes if isinstance(size, int))
        if only.datatype == "BYTES":
            size, body = 1, struct.pack("<I", len(body)) + body
        else:
            each = fixed * np.dtype(DTYPES[only.datatype]).itemsize
            size = len(body) // each if each else 0
        shape = tuple(s if isinstance(s, int) else size for s in only.sizes)
        request = _Request(None, {only.name: _from_bytes(only.datatype, shape, body)})
        request.outputs = [(name, True) for name in self.datatypes]
        self._check_sizes(request)
        return request

    def _tensor(self, tensor: Any, rest: bytearray | None) -> tuple[str, Any]:
        _need(isinstance(tensor, dict), "an input is an object")
        name, datatype, shape = (tensor.get(key) for key in ("name", "datatype", "shape"))
        _need(isinstance(name, str), "name")
        _need(isinstance(datatype, str) and datatype in DATATYPES, "datatype")
        _need(isinstance(shape, list) and all(type(size) is int for size in shape), "shape")
        _need(all(size >= 0 for size in shape), "negative size")
        _need(prod(filter(None, shape)) <= LARGEST_EMPTY or 0 not in shape, "a vast empty tensor")
        parameters = _parameters(tensor)
        nulls = _boolean(parameters.get("null_is_missing", False))
        found = next((i for i in self.model.inputs if i.name == name), None)
        _need(found is not None and found.datatype == datatype, "the model's input")
        if "binary_data_size" in parameters:
            size = parameters["binary_data_size"]
            _need(type(size) is int and size >= 0, "binary_data_size")
            _need("data" not in tensor, "data twice")
            _need(rest is not None and size <= len(rest), "too few bytes")
            raw = bytes(rest[:size])
            del rest[:size]
            return name, _from_bytes(datatype, tuple(shape), raw)
        _need("data" in tensor, "data")
        return name, _from_json(datatype, tuple(shape), tensor["data"], nulls=nulls)

    def _wanted(self, document: dict[str, Any], every: bool) -> list[tuple[str, bool]]:
        asked = document.get("outputs")
        if asked is None or asked == []:
            return [(name, every) for name in self.datatypes]
        _need(isinstance(asked, list), "outputs")
        wanted = []
        for output in asked:
            _need(isinstance(output, dict), "an output is an object")
            _need(isinstance(output.get("name"), str), "name of an output")
            _need(output["name"] in self.datatypes, "the model's output")
            binary = _boolean(_parameters(output).get("binary_data", every))
            wanted.append((output["name"], binary))
        _need(len({name for name, _ in wanted}) == len(wanted), "an output twice")
        return wanted

    def _check_sizes(self, request: _Request) -> None:
        known: dict[Any, int] = {}
        rows = []
        for tensor in self.model.inputs:
            shape = request.arrays[tensor.name].shape
            _need(len(shape) == len(tensor.sizes), "rank")
            for axis, (wanted, size) in enumerate(zip(tensor.sizes, shape, strict=True)):
                if isinstance(wanted, int):
                    _need(size == wanted, "size")
                    continue
                if axis == 0:
                    rows.append(size)
                if wanted is not None or axis == 0:
                    _need(known.setdefault(wanted, size) == size, "sizes of one name")
        request.rows = max(rows, default=1)
        if request.rows > self.max_rows:
            raise TooManyRows(f"{request.rows} rows")

    # running

    def _run(self, request: _Request) -> Mapping[str, Any]:
        feeds = {name: _fed(array) for name, array in request.arrays.items()}
        try:
            values = self.session.run(list(self.datatypes), feeds)
        except Exception as error:
            if request.rows == 0:
                raise Refused("the model takes no empty batch") from error
            raise Broken(str(error)) from error
        return dict(zip(self.datatypes, values, strict=True))

    # telling

    def _told(self, name: str, array: Any, binary: bool) -> Output:
        datatype = self.datatypes[name]
        if not binary:
            _need(datatype not in HALVES, "no JSON for halves")
            if datatype in JSON_FLOATS:
                _need(all(isfinite(value) for value in array.flatten()), "no JSON for NaN")
        return Output(name, datatype, array.shape, to_bytes(datatype, array), binary)


def to_bytes(datatype: str, array: Any) -> bytes:
    """Return a tensor as the binary extension writes it."""
    if datatype == "BYTES":
        texts = [text.encode() for text in array.flatten()]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    if datatype == "BF16" and array.dtype == np.float32:
        # By its bits: a cast would give every NaN the same ones.
        return b"".join(value.tobytes()[2:] for value in array.flatten())
    if array.dtype == object:
        array = array.astype(DTYPES[datatype])
    return bytes(array.tobytes())


def _with_wide_halves(model: RandomModel) -> bytes:
    """Return the model with FP32 where it gives BF16, which numpy does not know."""
    proto = onnx.load_from_string(model.data)
    for output in proto.graph.output:
        if output.type.tensor_type.elem_type == TensorProto.BFLOAT16:
            inner = f"inner {output.name}"
            for node in proto.graph.node:
                node.output[:] = [inner if name == output.name else name for name in node.output]
            wide = helper.make_node("Cast", [inner], [output.name], to=TensorProto.FLOAT)
            proto.graph.node.append(wide)
            output.type.tensor_type.elem_type = TensorProto.FLOAT
    data: bytes = proto.SerializeToString()
    return data


def _quiet() -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return options


def _fed(array: Any) -> Any:
    if array.dtype != ml_dtypes.bfloat16:
        return array
    bits = array.copy().view(np.uint16)
    return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(bits, TensorProto.BFLOAT16)


def _need(holds: object, what: str) -> None:
    if not holds:
        raise Refused(what)


def _boolean(value: Any) -> bool:
    _need(isinstance(value, bool), "a boolean")
    return bool(value)


def _cut(body: bytes, length: int) -> tuple[bytes, bytearray]:
    _need(length <= len(body), "the JSON is longer than the body")
    return body[:length], bytearray(body[length:])


def _document(head: bytes) -> dict[str, Any]:
    try:
        document = json.loads(
            head.decode(),
            parse_constant=_no_constant,
            parse_int=_integer,
            parse_float=_number,
            object_pairs_hook=_object,
        )
    except (ValueError, RecursionError) as error:
        raise Refused(f"no JSON: {error}") from error
    _need(isinstance(document, dict), "an object")
    return dict(document)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object: the last of several fields of one name counts, all must be UTF-8."""
    json.dumps(pairs, ensure_ascii=False).encode()
    return dict(pairs)


def _no_constant(text: str) -> Any:
    raise ValueError(text)


def _integer(text: str) -> int | float:
    """Return a whole number, which beyond 64 bits is a number like any other."""
    value = int(text)
    return value if -(2**63) <= value < 2**64 else _number(text)


def _number(text: str) -> float:
    value = float(text)
    if not isfinite(value):
        raise ValueError(f"{text} is beyond every number")
    return value


def _id(document: dict[str, Any]) -> str | None:
    value = document.get("id")
    _need(value is None or isinstance(value, str), "id")
    return value if isinstance(value, str) else None


def _parameters(document: dict[str, Any]) -> dict[str, Any]:
    parameters = document.get("parameters")
    if parameters is None:
        return {}
    _need(isinstance(parameters, dict), "parameters")
    for key, value in parameters.items():
        _need(isinstance(value, str | int | float | bool), "a parameter")
        _need(key not in UNSUPPORTED, "a parameter that asks for another server")
    return dict(parameters)


def _from_bytes(datatype: str, shape: tuple[int, ...], raw: bytes) -> Any:
    if datatype == "BYTES":
        return _array(datatype, shape, _texts(raw))
    if datatype == "BOOL":
        _need(all(byte in (0, 1) for byte in raw), "a byte of BOOL")
    dtype = np.dtype(DTYPES[datatype])
    _need(len(raw) == prod(shape) * dtype.itemsize, "number of bytes")
    return np.frombuffer(raw, dtype).reshape(shape)


def _texts(raw: bytes) -> list[str]:
    texts = []
    while raw:
        _need(len(raw) >= 4, "a length")
        (length,) = struct.unpack("<I", raw[:4])
        _need(len(raw) >= 4 + length, "a text")
        try:
            texts.append(raw[4 : 4 + length].decode())
        except UnicodeDecodeError as error:
            raise Refused("no UTF-8") from error
        raw = raw[4 + length :]
    return texts


def _from_json(datatype: str, shape: tuple[int, ...], data: Any, *, nulls: bool) -> Any:
    _need(datatype not in HALVES, "halves in JSON")
    _need(not nulls or datatype in (*JSON_FLOATS, "BYTES"), "nothing is missing in this datatype")
    if not shape and not isinstance(data, list):
        flat = [data]
    else:
        _need(isinstance(data, list), "data")
        flat = _flat(data, shape) if any(isinstance(item, list) for item in data) else data
    return _array(datatype, shape, [_element(datatype, item, nulls=nulls) for item in flat])


def _flat(data: list[Any], shape: tuple[int, ...]) -> list[Any]:
    """Return the elements of nested data, which must have the very shape."""
    if not shape:
        raise Refused("nested data of a scalar")
    _need(isinstance(data, list) and len(data) == shape[0], "nesting")
    if len(shape) == 1:
        _need(not any(isinstance(item, list) for item in data), "nesting too deep")
        return data
    _need(all(isinstance(item, list) for item in data), "nesting")
    return [element for item in data for element in _flat(item, shape[1:])]


def _element(datatype: str, item: Any, *, nulls: bool) -> Any:
    if item is None and nulls:
        return "" if datatype == "BYTES" else float("nan")
    if datatype == "BOOL":
        _need(isinstance(item, bool), "a boolean")
        return item
    if datatype == "BYTES":
        _need(isinstance(item, str), "a text")
        return item
    if datatype in JSON_FLOATS:
        _need(type(item) in (int, float), "a number")
        with np.errstate(over="ignore"):
            value = DTYPES[datatype](item)
        _need(isfinite(value), "a number in range")
        return value
    low, high = WHOLE[datatype]
    _need(type(item) is int, "a whole number")
    _need(low <= item <= high, "a whole number in range")
    return item


def _array(datatype: str, shape: tuple[int, ...], flat: list[Any]) -> Any:
    _need(len(flat) == prod(shape), "number of elements")
    array = np.empty(len(flat), dtype=object if datatype == "BYTES" else DTYPES[datatype])
    for index, element in enumerate(flat):
        array[index] = element
    return array.reshape(shape)
