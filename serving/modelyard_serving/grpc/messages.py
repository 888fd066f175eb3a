"""The messages of gRPC ↔ the requests and answers of this room.  Pure.

An answer has the form of its request: raw bytes for raw bytes, typed contents for typed contents.
Where a typed form does not exist (FP16, BF16), all outputs come raw.
"""

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from modelyard_serving import binary, codec, protocol
from modelyard_serving.codec import Array
from modelyard_serving.errors import InvalidRequest
from modelyard_serving.grpc_wire import inference_pb2 as wire
from modelyard_serving.inference import Computed
from modelyard_serving.protocol import InferRequest, Parameters, RequestedOutput, RequestInput

FIELDS: Mapping[str, str] = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""By datatype: where its elements are, where they are not raw."""
ONLY_RAW = "which typed contents cannot carry; send it in raw_input_contents"

_read = wire.ModelInferRequest.FromString
_Answer = wire.ModelInferResponse
_Output = wire.ModelInferResponse.InferOutputTensor
_Contents = wire.InferTensorContents


def parse(message: bytes) -> wire.ModelInferRequest:
    """Return the message that the bytes hold.

    Raises:
        InvalidRequest: they hold none.
    """
    try:
        found: wire.ModelInferRequest = _read(message)
    except DecodeError as error:
        raise InvalidRequest("the message is no inference.ModelInferRequest") from error
    return found


def is_raw(message: wire.ModelInferRequest) -> bool:
    """Return whether the elements came as raw bytes."""
    return len(message.raw_input_contents) > 0


def request(message: wire.ModelInferRequest) -> InferRequest:
    """Return the request that a message is.

    Raises:
        InvalidRequest: it is none, whatever the model; the sentence names the place.
    """
    if not message.inputs:
        raise InvalidRequest("inputs is empty")
    parameters = _parameters(message.parameters, "the request")
    raw = message.raw_input_contents
    if raw and len(raw) != len(message.inputs):
        raise InvalidRequest(
            f"raw_input_contents has {len(raw)} entries for {len(message.inputs)} inputs"
        )
    if raw:
        inputs = tuple(_raw_input(*pair) for pair in zip(message.inputs, raw, strict=True))
    else:
        inputs = tuple(map(_typed_input, message.inputs))
    outputs = _outputs(message.outputs) if message.outputs else ()
    return InferRequest(inputs, outputs, message.id or None, True, parameters)


def _parameters(given: Mapping[str, Any], what: str) -> Parameters:
    if not given:
        return {}
    parameters = {}
    for key, value in given.items():
        choice = value.WhichOneof("parameter_choice")
        if choice is None:
            raise InvalidRequest(f"{what}: parameter {key!r} must be a string, number or boolean")
        parameters[key] = getattr(value, choice)
    protocol.check_parameters(parameters, what)
    return parameters


def _described(tensor: Any) -> tuple[str, str, tuple[int, ...], Parameters]:  # noqa: ANN401
    name, datatype, shape = tensor.name, tensor.datatype, list(tensor.shape)
    what = f"input {name!r}"
    protocol.check_datatype(datatype, what)
    protocol.check_shape(shape, what)
    return name, datatype, tuple(shape), _parameters(tensor.parameters, what)


def _raw_input(tensor: Any, raw: bytes) -> RequestInput:  # noqa: ANN401
    name, datatype, shape, parameters = _described(tensor)
    if tensor.HasField("contents"):
        raise InvalidRequest(f"input {name!r} has both contents and raw_input_contents")
    return RequestInput(name, datatype, shape, raw=raw, parameters=parameters)


def _typed_input(tensor: Any) -> RequestInput:  # noqa: ANN401
    name, datatype, shape, parameters = _described(tensor)
    what = f"input {name!r}"
    if datatype in codec.BINARY_ONLY:
        raise InvalidRequest(f"{what} is {datatype}, {ONLY_RAW}")
    field = FIELDS[datatype]
    contents = tensor.contents
    wrong = [found.name for found, _ in contents.ListFields() if found.name != field]
    if wrong:
        raise InvalidRequest(f"{what} is {datatype}, whose elements are {field}, not {wrong[0]}")
    values: list[Any] = list(getattr(contents, field))
    count: int = prod(shape)
    if not values and count:
        raise InvalidRequest(f"{what}: data is missing")
    if datatype == "BYTES":
        values = [binary.text(name, index, value) for index, value in enumerate(values)]
    if datatype in codec.FLOATS and len(values) == count:
        # As bytes, since NaN and the infinities are values here and none in JSON.
        raw = np.array(values, dtype=codec.NUMPY_TYPES[datatype]).tobytes()
        return RequestInput(name, datatype, shape, raw=raw, parameters=parameters)
    return RequestInput(name, datatype, shape, data=values, parameters=parameters)


def _outputs(given: Sequence[Any]) -> tuple[RequestedOutput, ...]:
    outputs: dict[str, RequestedOutput] = {}
    for output in given:
        what = f"output {output.name!r}"
        _parameters(output.parameters, what)
        if output.name in outputs:
            raise InvalidRequest(f"{what} is requested twice")
        outputs[output.name] = RequestedOutput(output.name, binary=True)
    return tuple(outputs.values())


class Writer:
    """Writes the answers of one model."""

    def __init__(self, model: str, version: str, datatypes: Mapping[str, str]) -> None:
        self._model = model
        self._version = version
        self._datatypes = datatypes

    def write(self, computed: Computed, *, raw: bool) -> bytes:
        """Return an answer as bytes, its outputs raw or typed."""
        asked = [(output.name, computed.arrays[output.name]) for output in computed.outputs]
        if raw or not all(self._datatypes[name] in FIELDS for name, _ in asked):
            return self._write(computed.request_id, asked, None)
        return self._write(computed.request_id, asked, contents)

    def content(self, computed: Computed) -> bytes:
        """Return the elements of an answer's outputs one after the other, raw."""
        names = [output.name for output in computed.outputs]
        arrays = computed.arrays
        return b"".join(binary.encode(self._datatypes[name], arrays[name]) for name in names)

    def _write(
        self,
        request_id: str | None,
        asked: Sequence[tuple[str, Array]],
        typed: Callable[[str, Array], Any] | None,
    ) -> bytes:
        datatypes = self._datatypes
        outputs = [
            _Output(
                name=name,
                datatype=datatypes[name],
                shape=array.shape,
                contents=None if typed is None else typed(datatypes[name], array),
            )
            for name, array in asked
        ]
        raw = () if typed else [bytes(binary.encode(datatypes[name], a)) for name, a in asked]
        answer = _Answer(
            model_name=self._model,
            model_version=self._version,
            id=request_id,
            outputs=outputs,
            raw_output_contents=raw,
        )
        written: bytes = answer.SerializeToString()
        return written


def contents(datatype: str, array: Array) -> wire.InferTensorContents:
    """Return an array's elements in the field of their datatype."""
    values = array.reshape(-1).tolist()
    if datatype == "BYTES":
        values = [value.encode() for value in values]
    return _Contents(**{FIELDS[datatype]: values})
