"""The requests and answers of the Open Inference Protocol v2 over HTTP, apart from any model.

A body is JSON, or JSON and then binary tensors, in the order in which the JSON names them; a header
tells where the JSON ends.  A raw request is nothing but the elements of the model's one input.

`parse` refuses what is no such request, whatever the model; what the model takes is decided in
`contract.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import prod
from typing import Any

import msgspec
import orjson

from modelyard_core.signature import Tensor
from modelyard_serving import codec
from modelyard_serving.errors import InvalidRequest

PLATFORM = "onnx_onnxv1"
SERVER_NAME = "modelyard-serving"
EXTENSIONS: tuple[str, ...] = ("binary_tensor_data", "statistics")
"""What this server can do beyond the protocol."""
JSON_LENGTH = "inference-header-content-length"
"""Header: bytes of the JSON part where binary tensors follow; 0 for a raw request."""
NULL_IS_MISSING = "null_is_missing"
"""Parameter of an input: take null as a missing value instead of refusing it."""
BINARY_SIZE = "binary_data_size"
"""Parameter of an input or of an answered output: bytes of its binary tensor."""
BINARY_OUTPUT = "binary_data"
"""Parameter of a requested output: answer it as a binary tensor."""
BINARY_OUTPUTS = "binary_data_output"
"""Parameter of a request: answer all outputs as binary tensors that do not say otherwise."""
NOT_SUPPORTED = ("classification", "shared_memory_region")
"""Parameters that ask for another answer than the one without them."""
MAX_DIGITS = 18
MAX_EMPTY_ELEMENTS = 1 << 24
"""What the sizes of an empty tensor may multiply to, its zeros left out."""

Parameters = Mapping[str, str | int | float | bool]


@dataclass(frozen=True, slots=True)
class RequestInput:
    """One input tensor as it was sent: exactly one of `data` and `raw` holds its elements."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: Any = None
    """The JSON value, nested or flat; or a flat list of values from another transport."""
    raw: bytes | memoryview | None = None
    """The elements as a binary tensor, little-endian and row-major."""
    parameters: Parameters = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RequestedOutput:
    """One output that is asked for, and whether its elements come back as a binary tensor."""

    name: str
    binary: bool = False


@dataclass(frozen=True, slots=True)
class InferRequest:
    """One inference request; `outputs` empty means all, binary if `binary_output` says so."""

    inputs: tuple[RequestInput, ...]
    outputs: tuple[RequestedOutput, ...] = ()
    id: str | None = None
    binary_output: bool = False
    parameters: Parameters = field(default_factory=dict)
    raw_input: bytes | memoryview | None = None
    """Of a raw request, which has no inputs: the elements of the one that the model has."""


class OutputTensor(msgspec.Struct, frozen=True, gc=False):
    """One output tensor, its elements already as JSON or as a binary tensor."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: bytes | memoryview
    binary: bool = False


class Answer(msgspec.Struct, frozen=True, gc=False):
    """The body of an answer, and where its JSON ends if binary tensors follow."""

    body: bytes
    json_length: int | None = None


class _Tensors:
    """The binary tensors after the JSON, to be taken in their order."""

    def __init__(self, data: memoryview | None) -> None:
        self._data = data
        self._at = 0

    def take(self, what: str, size: int) -> memoryview:
        if self._data is None:
            raise InvalidRequest(f"{what}: {BINARY_SIZE} needs the header {JSON_LENGTH}")
        begin, self._at = self._at, self._at + size
        if self._at > len(self._data):
            left = max(len(self._data) - begin, 0)
            raise InvalidRequest(f"{what}: {BINARY_SIZE} is {size}, {left} bytes are left")
        return self._data[begin : self._at]

    def check_all_taken(self) -> None:
        if self._data is not None and self._at != len(self._data):
            raise InvalidRequest(
                f"{len(self._data) - self._at} bytes follow the last binary tensor"
            )


def parse(body: bytes, json_length: int | None = None) -> InferRequest:
    """Return the request that a body holds.

    `json_length` tells where the JSON ends and binary tensors begin; 0 is a raw request.

    Raises:
        InvalidRequest: not JSON, not an inference request, or tensors of other sizes than it says;
            the sentence names the place.
    """
    if json_length == 0:
        return InferRequest((), binary_output=True, raw_input=body)
    head, tensors = _split(body, json_length)
    document = _object(_load(head), "the request")
    request_id = document.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise InvalidRequest("id must be a string")
    parameters = _parameters(document, "the request")
    binary_output = _flag(parameters, BINARY_OUTPUTS, "the request", default=False)
    items = document.get("inputs")
    if not isinstance(items, list):
        raise InvalidRequest("inputs must be an array of tensors")
    if not items:
        raise InvalidRequest("inputs is empty")
    inputs = tuple(_input(item, index, tensors) for index, item in enumerate(items))
    tensors.check_all_taken()
    outputs = _outputs(document, default=binary_output)
    return InferRequest(inputs, outputs, request_id, binary_output, parameters)


def _split(body: bytes, json_length: int | None) -> tuple[bytes | memoryview, _Tensors]:
    if json_length is None:
        return body, _Tensors(None)
    if json_length > len(body):
        raise InvalidRequest(f"{JSON_LENGTH} is {json_length}, the body has {len(body)} bytes")
    whole = memoryview(body)
    return whole[:json_length], _Tensors(whole[json_length:])


def json_length_of(values: Sequence[str]) -> int | None:
    """Return what the headers `inference-header-content-length` say; None where there is none.

    Raises:
        InvalidRequest: no number of bytes, or several headers.
    """
    if not values:
        return None
    if len(values) > 1:
        raise InvalidRequest(f"{JSON_LENGTH} is there {len(values)} times")
    text = values[0].strip()
    if not (text.isascii() and text.isdigit()) or len(text) > MAX_DIGITS:
        raise InvalidRequest(f"{JSON_LENGTH} is {text[:80]!r}, which is no number of bytes")
    return int(text)


def _load(body: bytes | memoryview) -> object:
    if not body:
        raise InvalidRequest("the body is empty; it must be an inference request in JSON")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the body is not JSON: {error}") from error


def _object(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidRequest(f"{what} must be a JSON object")
    return value


def _text(document: dict[str, Any], key: str, what: str) -> str:
    value = document.get(key)
    if not isinstance(value, str):
        raise InvalidRequest(f"{what}: {key} must be a string")
    return value


def _parameters(document: dict[str, Any], what: str) -> Parameters:
    parameters = document.get("parameters")
    if parameters is None:
        return {}
    checked = _object(parameters, f"{what}: parameters")
    for key, value in checked.items():
        if not isinstance(value, str | int | float | bool):
            raise InvalidRequest(f"{what}: parameter {key!r} must be a string, number or boolean")
    check_parameters(checked, what)
    return checked


def check_parameters(parameters: Parameters, what: str) -> None:
    """Return if no parameter asks for what this server does not do.

    Raises:
        InvalidRequest: one does.
    """
    for key in NOT_SUPPORTED:
        if key in parameters:
            raise InvalidRequest(f"{what}: parameter {key!r} is not supported by this server")


def _flag(parameters: Parameters, key: str, what: str, *, default: bool) -> bool:
    value = parameters.get(key, default)
    if not isinstance(value, bool):
        raise InvalidRequest(f"{what}: parameter {key!r} must be a boolean")
    return value


def _shape(document: dict[str, Any], what: str) -> tuple[int, ...]:
    shape = document.get("shape")
    if not isinstance(shape, list) or not all(type(size) is int for size in shape):
        raise InvalidRequest(f"{what}: shape must be an array of integers")
    check_shape(shape, what)
    return tuple(shape)


def check_shape(shape: list[int], what: str) -> None:
    """Return if there can be a tensor of this shape.

    Raises:
        InvalidRequest: a size is negative, or too much is around the zero of an empty tensor.
    """
    if any(size < 0 for size in shape):
        raise InvalidRequest(f"{what}: shape {shape} has a negative size")
    if 0 in shape and prod(size for size in shape if size) > MAX_EMPTY_ELEMENTS:
        raise InvalidRequest(f"{what}: shape {shape} is too large for an empty tensor")


def check_datatype(datatype: str, what: str) -> None:
    """Return if this is a datatype of the protocol.

    Raises:
        InvalidRequest: it is none.
    """
    if datatype not in codec.DATATYPES:
        known = ", ".join(codec.DATATYPES)
        raise InvalidRequest(f"{what}: unknown datatype {datatype!r}; known are {known}")


def _input(item: object, index: int, tensors: _Tensors) -> RequestInput:
    document = _object(item, f"inputs[{index}]")
    name = _text(document, "name", f"inputs[{index}]")
    what = f"input {name!r}"
    datatype = _text(document, "datatype", what)
    check_datatype(datatype, what)
    parameters = _parameters(document, what)
    shape = _shape(document, what)
    if BINARY_SIZE not in parameters:
        if "data" not in document:
            raise InvalidRequest(f"{what}: data is missing")
        return RequestInput(name, datatype, shape, document["data"], parameters=parameters)
    size = parameters[BINARY_SIZE]
    if type(size) is not int or size < 0:
        raise InvalidRequest(f"{what}: {BINARY_SIZE} must be a number of bytes")
    if "data" in document:
        raise InvalidRequest(f"{what} has both data and {BINARY_SIZE}")
    raw = tensors.take(what, size)
    return RequestInput(name, datatype, shape, raw=raw, parameters=parameters)


def _outputs(document: dict[str, Any], *, default: bool) -> tuple[RequestedOutput, ...]:
    items = document.get("outputs")
    if items is None:
        return ()
    if not isinstance(items, list):
        raise InvalidRequest("outputs must be an array")
    outputs: dict[str, RequestedOutput] = {}
    for index, item in enumerate(items):
        output = _object(item, f"outputs[{index}]")
        name = _text(output, "name", f"outputs[{index}]")
        what = f"output {name!r}"
        binary = _flag(_parameters(output, what), BINARY_OUTPUT, what, default=default)
        if name in outputs:
            raise InvalidRequest(f"{what} is requested twice")
        outputs[name] = RequestedOutput(name, binary)
    return tuple(outputs.values())


def render(
    model: str, version: str, request_id: str | None, outputs: Sequence[OutputTensor]
) -> Answer:
    """Return the answer: JSON, then the binary tensors; an id that was not sent is not answered."""
    text = head(model, version) + id_member(request_id)
    text += b'"outputs":[%b]}' % b",".join(map(_output, outputs))
    tensors = [output.data for output in outputs if output.binary]
    if not tensors:
        return Answer(text)
    return Answer(b"".join((text, *tensors)), len(text))


def id_member(request_id: str | None) -> bytes:
    """Return the member that tells the id, and what follows it; nothing for none."""
    return b"" if request_id is None else b'"id":%b,' % orjson.dumps(request_id)


def _output(output: OutputTensor) -> bytes:
    what = described(output.name, output.datatype, output.shape)
    if output.binary:
        return what + b'"parameters":{"binary_data_size":%d}}' % len(output.data)
    return b"".join((what, b'"data":', output.data, b"}"))


@lru_cache
def head(model: str, version: str) -> bytes:
    """Return how every answer begins."""
    return b'{"model_name":%b,"model_version":%b,' % (orjson.dumps(model), orjson.dumps(version))


@lru_cache
def described(name: str, datatype: str, shape: tuple[int, ...]) -> bytes:
    """Return how an output begins; its elements, or what tells of them, follow."""
    return b'{"name":%b,"datatype":"%b","shape":%b,' % (
        orjson.dumps(name),
        datatype.encode(),
        orjson.dumps(shape),
    )


def server_metadata(version: str) -> dict[str, Any]:
    """Return the answer of `GET /v2`."""
    return {"name": SERVER_NAME, "version": version, "extensions": list(EXTENSIONS)}


def model_metadata(
    name: str, version: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor], digest: str
) -> dict[str, Any]:
    """Return the answer of `GET /v2/models/{name}`."""
    return {
        "name": name,
        "versions": [version],
        "platform": PLATFORM,
        "inputs": [_metadata_tensor(tensor) for tensor in inputs],
        "outputs": [_metadata_tensor(tensor) for tensor in outputs],
        "properties": {"digest": digest},
    }


def _metadata_tensor(tensor: Tensor) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
