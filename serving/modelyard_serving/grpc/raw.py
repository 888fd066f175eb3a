"""Messages of raw numbers, whose descriptions clients repeat to the byte.  Pure.

    request   model │ version │ id │ inputs … ┃ tag, size │ numbers │ tag, size │ numbers …
    answer    model │ version │ id │ outputs … ┃ tag, size │ numbers │ tag, size │ numbers …

What stands before the numbers decides everything but the numbers and the id.  So it is read once,
and remembered; a message that is the same but for numbers and id needs no other reading.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from modelyard_serving import binary
from modelyard_serving.codec import Array
from modelyard_serving.fast_binary import DTYPES
from modelyard_serving.grpc_wire import inference_pb2 as wire
from modelyard_serving.protocol import InferRequest

MAX_PLANS = 256
MAX_DESCRIPTION_BYTES = 4096
ID_TAG = b"\x1a"
LONG = 0x80
"""From here on a size takes more than one byte."""
RAW_INPUT_TAG, RAW_OUTPUT_TAG = b"\x3a", b"\x32"


class _Tensor(NamedTuple):
    name: str
    dtype: "np.dtype[np.generic]"
    head: bytes
    """Tag and size before the numbers."""
    begin: int
    end: int
    tail: tuple[int, ...]
    """The shape without the rows."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a description says; places count from where it begins."""

    tensors: tuple[_Tensor, ...]
    rows: int


class Reading(NamedTuple):
    """A message of raw numbers: what it says, its id, and the bytes from the description on."""

    plan: Plan
    id: str | None
    data: bytes


class RawReader:
    """Reads messages for one model."""

    def __init__(self, model: str, version: str) -> None:
        named = wire.ModelInferRequest(model_name=model)
        self._named: bytes = named.SerializeToString()
        named.model_version = version
        self._versioned: bytes = named.SerializeToString()
        self._plans: dict[bytes, Plan] = {}
        self._begins: dict[int, int] = {}
        """By the size of a message from its description on: where the first numbers begin."""

    def read(self, message: bytes) -> Reading | None:
        """Return what a message says, if that has been learnt."""
        found = self._split(message)
        if found is None:
            return None
        request_id, data = found
        begin = self._begins.get(len(data))
        plan = self._plans.get(data[:begin]) if begin is not None else None
        if plan is None:
            return None
        for tensor in plan.tensors[1:]:
            if not data.startswith(tensor.head, tensor.begin - len(tensor.head)):
                return None
        return Reading(plan, request_id, data)

    def _split(self, message: bytes) -> tuple[str | None, bytes] | None:
        """Return the id, and what follows it."""
        at = len(self._versioned)
        if not message.startswith(self._versioned):
            at = len(self._named)
            if not message.startswith(self._named):
                return None
        if message[at : at + 1] != ID_TAG:
            return None, message[at:]
        size = message[at + 1] if len(message) > at + 1 else LONG
        end = at + 2 + size
        if size >= LONG:
            return None
        try:
            return message[at + 2 : end].decode(), message[end:]
        except UnicodeDecodeError:
            return None

    def learn(self, message: bytes, parsed: wire.ModelInferRequest, request: InferRequest) -> None:
        """Remember what a good message says, if it is of this kind and written in the usual way."""
        found = self._split(message)
        plain = not request.parameters and not request.outputs
        if found is None or not plain or parsed.SerializeToString() != message:
            return
        _, data = found
        tensors: list[_Tensor] = []
        at = len(data) - sum(
            len(raw) + len(_head(RAW_INPUT_TAG, len(raw))) for raw in parsed.raw_input_contents
        )
        for tensor in request.inputs:
            dtype = DTYPES.get(tensor.datatype)
            if dtype is None or tensor.raw is None or tensor.parameters or not tensor.shape:
                return
            head = _head(RAW_INPUT_TAG, len(tensor.raw))
            begin = at + len(head)
            at = begin + len(tensor.raw)
            tail = tensor.shape[1:]
            tensors.append(_Tensor(tensor.name, dtype, head, begin, at, tail))
        if tensors and tensors[0].begin <= MAX_DESCRIPTION_BYTES:
            self._remember(data, Plan(tuple(tensors), request.inputs[0].shape[0]))

    def _remember(self, data: bytes, plan: Plan) -> None:
        if len(self._plans) >= MAX_PLANS:
            self._plans.clear()
            self._begins.clear()
        begin = plan.tensors[0].begin
        self._plans[data[:begin]] = plan
        self._begins[len(data)] = begin


def feeds(readings: Sequence[Reading]) -> dict[str, Array]:
    """Return the rows of several messages below each other."""
    first = readings[0].plan.tensors
    if len(readings) == 1:
        data = readings[0].data
        return {
            tensor.name: np.frombuffer(data[tensor.begin : tensor.end], tensor.dtype).reshape(
                -1, *tensor.tail
            )
            for tensor in first
        }
    places = {tensor.name: place for place, tensor in enumerate(first)}
    gathered: dict[str, list[bytes]] = {name: [] for name in places}
    for reading in readings:
        for tensor in reading.plan.tensors:
            gathered[tensor.name].append(reading.data[tensor.begin : tensor.end])
    return {
        tensor.name: np.frombuffer(b"".join(gathered[tensor.name]), tensor.dtype).reshape(
            -1, *tensor.tail
        )
        for tensor in first
    }


class RawWriter:
    """Writes the answers of a run that several calls shared."""

    def __init__(self, model: str, version: str, datatypes: Mapping[str, str]) -> None:
        answer = wire.ModelInferResponse(model_name=model, model_version=version)
        self._named: bytes = answer.SerializeToString()
        self._datatypes = datatypes
        self._forms: dict[tuple[tuple[int, ...], ...], tuple[bytes, ...]] = {}

    @property
    def is_able(self) -> bool:
        """Whether all outputs have elements of one size."""
        return "BYTES" not in self._datatypes.values()

    def write(self, arrays: Sequence[Array], readings: Sequence[Reading]) -> list[bytes]:
        """Return the answer of each message; `arrays` are all outputs, of all their rows."""
        raw, widths = self._raw(arrays)
        tails = [array.shape[1:] for array in arrays]
        answers = []
        at = 0
        for reading in readings:
            count = reading.plan.rows
            pieces = [self._named]
            if reading.id is not None:
                text = reading.id.encode()
                pieces += (ID_TAG, bytes((len(text),)), text)
            forms = self._form(tuple((count, *tail) for tail in tails), widths)
            for form, data, width in zip(forms, raw, widths, strict=True):
                pieces += (form, data[at * width : (at + count) * width])
            answers.append(b"".join(pieces))
            at += count
        return answers

    def elements(self, arrays: Sequence[Array], counts: Sequence[int]) -> list[bytes]:
        """Return the raw elements of each answer's outputs; `counts` are the rows of each."""
        raw, widths = self._raw(arrays)
        found = []
        at = 0
        for count in counts:
            end = at + count
            found.append(
                b"".join(
                    data[at * width : end * width] for data, width in zip(raw, widths, strict=True)
                )
            )
            at = end
        return found

    def _raw(self, arrays: Sequence[Array]) -> tuple[list[bytes], list[int]]:
        """Return the elements of each output, and how many bytes a row has of them."""
        datatypes = self._datatypes.values()
        raw = [bytes(binary.encode(*pair)) for pair in zip(datatypes, arrays, strict=True)]
        return raw, [len(data) // len(arrays[0]) for data in raw]

    def _form(
        self, shapes: tuple[tuple[int, ...], ...], widths: Sequence[int]
    ) -> tuple[bytes, ...]:
        """Return what stands before the numbers of each output."""
        found = self._forms.get(shapes)
        if found is None:
            described = wire.ModelInferResponse(
                outputs=[
                    wire.ModelInferResponse.InferOutputTensor(
                        name=name, datatype=datatype, shape=shape
                    )
                    for (name, datatype), shape in zip(self._datatypes.items(), shapes, strict=True)
                ]
            ).SerializeToString()
            heads = [
                _head(RAW_OUTPUT_TAG, shape[0] * width)
                for shape, width in zip(shapes, widths, strict=True)
            ]
            if len(self._forms) >= MAX_PLANS:
                self._forms.clear()
            found = self._forms[shapes] = (described + heads[0], *heads[1:])
        return found


def _head(tag: bytes, size: int) -> bytes:
    digits = bytearray(tag)
    while size >= LONG:
        digits.append(size % LONG | LONG)
        size //= LONG
    digits.append(size)
    return bytes(digits)
