"""The requests and answers of the Open Inference Protocol v2 in JSON, apart from any model.

`parse` refuses what is no such request, whatever the model; what the model takes is decided in
`contract.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from modelyard_core.signature import Tensor
from modelyard_serving import codec
from modelyard_serving.errors import InvalidRequest

PLATFORM = "onnx_onnxv1"
SERVER_NAME = "modelyard-serving"
EXTENSIONS: tuple[str, ...] = ()
"""What this server can do beyond the protocol; binary tensors are not among it."""
BINARY_HEADER = "inference-header-content-length"
"""Announces binary tensors after the JSON part."""
NULL_IS_MISSING = "null_is_missing"
"""Parameter of an input: take null as a missing value instead of refusing it."""
DATATYPES = (*codec.NUMPY_TYPES, *codec.BINARY_ONLY)

Parameters = Mapping[str, str | int | float | bool]
NO_BINARY = "binary tensors are not supported by this server; send and ask for JSON data"


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


@dataclass(frozen=True, slots=True)
class OutputTensor:
    """One output tensor, its elements already as JSON."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: bytes


def parse(body: bytes) -> InferRequest:
    """Return the request that a body holds.

    Raises:
        InvalidRequest: not JSON, or not an inference request; the sentence names the place.
    """
    document = _object(_load(body), "the request")
    request_id = document.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise InvalidRequest("id must be a string")
    parameters = _parameters(document, "the request")
    if parameters.get("binary_data_output") is True:
        raise InvalidRequest(f"binary_data_output: {NO_BINARY}")
    items = document.get("inputs")
    if not isinstance(items, list):
        raise InvalidRequest("inputs must be an array of tensors")
    if not items:
        raise InvalidRequest("inputs is empty")
    return InferRequest(
        inputs=tuple(_input(item, index) for index, item in enumerate(items)),
        outputs=_outputs(document),
        id=request_id,
        parameters=parameters,
    )


def _load(body: bytes) -> object:
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
    return checked


def _shape(document: dict[str, Any], what: str) -> tuple[int, ...]:
    shape = document.get("shape")
    if not isinstance(shape, list) or not all(type(size) is int for size in shape):
        raise InvalidRequest(f"{what}: shape must be an array of integers")
    if any(size < 0 for size in shape):
        raise InvalidRequest(f"{what}: shape {shape} has a negative size")
    return tuple(shape)


def _input(item: object, index: int) -> RequestInput:
    document = _object(item, f"inputs[{index}]")
    name = _text(document, "name", f"inputs[{index}]")
    what = f"input {name!r}"
    datatype = _text(document, "datatype", what)
    if datatype not in DATATYPES:
        raise InvalidRequest(f"{what}: unknown datatype {datatype!r}; known are {_list(DATATYPES)}")
    parameters = _parameters(document, what)
    if "binary_data_size" in parameters:
        raise InvalidRequest(f"{what}: {NO_BINARY}")
    shape = _shape(document, what)
    if "data" not in document:
        raise InvalidRequest(f"{what}: data is missing")
    return RequestInput(name, datatype, shape, document["data"], parameters=parameters)


def _outputs(document: dict[str, Any]) -> tuple[RequestedOutput, ...]:
    items = document.get("outputs")
    if items is None:
        return ()
    if not isinstance(items, list):
        raise InvalidRequest("outputs must be an array")
    outputs: dict[str, RequestedOutput] = {}
    for index, item in enumerate(items):
        output = _object(item, f"outputs[{index}]")
        name = _text(output, "name", f"outputs[{index}]")
        if _parameters(output, f"output {name!r}").get("binary_data") is True:
            raise InvalidRequest(f"output {name!r}: {NO_BINARY}")
        if name in outputs:
            raise InvalidRequest(f"output {name!r} is requested twice")
        outputs[name] = RequestedOutput(name)
    return tuple(outputs.values())


def _list(names: Sequence[str]) -> str:
    return ", ".join(names)


def render(
    model: str, version: str, request_id: str | None, outputs: Sequence[OutputTensor]
) -> bytes:
    """Return the answer's JSON; an id that was not sent is not answered."""
    head = b'{"model_name":%b,"model_version":%b,' % (orjson.dumps(model), orjson.dumps(version))
    if request_id is not None:
        head += b'"id":%b,' % orjson.dumps(request_id)
    tensors = (
        b'{"name":%b,"datatype":"%b","shape":%b,"data":%b}'
        % (
            orjson.dumps(output.name),
            output.datatype.encode(),
            orjson.dumps(output.shape),
            output.data,
        )
        for output in outputs
    )
    return head + b'"outputs":[%b]}' % b",".join(tensors)


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
