"""What a file in ONNX says that onnxruntime does not tell, and the one thing that is added to it.

A model's weights may lie in files beside it, an input may have any rank, and onnxruntime's Python
API has no way to give out bfloat16.  All of it is in the bytes: this module reads and writes
protobuf's wire format with the field numbers of onnx.proto, without knowing the rest of it.
"""

from collections.abc import Iterable, Iterator
from enum import IntEnum

from modelyard_serving.errors import Unservable

LOCATION = b"location"
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_MORE, _SEVEN_BITS = 0x80, 0x7F
_MAX_VARINT_BYTES = 10
_FIXED_BYTES = {FIXED64: 8, FIXED32: 4}


class Message(IntEnum):
    """The messages on the way to a tensor's external data, and on the way to an input's shape."""

    MODEL = 0
    GRAPH = 1
    NODE = 2
    ATTRIBUTE = 3
    TENSOR = 4
    SPARSE_TENSOR = 5
    FUNCTION = 6
    TRAINING = 7
    ENTRY = 8


WAYS: dict[Message, dict[int, Message]] = {
    Message.MODEL: {7: Message.GRAPH, 20: Message.TRAINING, 25: Message.FUNCTION},
    Message.TRAINING: {1: Message.GRAPH, 2: Message.GRAPH},
    Message.FUNCTION: {7: Message.NODE, 11: Message.ATTRIBUTE},
    Message.GRAPH: {1: Message.NODE, 5: Message.TENSOR, 15: Message.SPARSE_TENSOR},
    Message.NODE: {5: Message.ATTRIBUTE},
    Message.ATTRIBUTE: {
        5: Message.TENSOR,
        6: Message.GRAPH,
        10: Message.TENSOR,
        11: Message.GRAPH,
        22: Message.SPARSE_TENSOR,
        23: Message.SPARSE_TENSOR,
    },
    Message.SPARSE_TENSOR: {1: Message.TENSOR, 2: Message.TENSOR},
    Message.TENSOR: {13: Message.ENTRY},
}
"""Which field of which message holds which one."""

MODEL_GRAPH, GRAPH_NODE, GRAPH_INPUT, GRAPH_OUTPUT = 7, 1, 11, 12
VALUE_NAME, VALUE_TYPE, TYPE_TENSOR, TENSOR_SHAPE = 1, 2, 1, 2
TENSOR_TYPE, NODE_INPUT, NODE_OUTPUT, NODE_OPERATOR, NODE_ATTRIBUTE = 1, 1, 2, 4, 5
ATTRIBUTE_NAME, ATTRIBUTE_INTEGER, ATTRIBUTE_KIND, KIND_INTEGER = 1, 3, 20, 2
ENTRY_KEY, ENTRY_VALUE = 1, 2
FLOAT = 1
"""TensorProto.FLOAT."""


def external_files(model: bytes) -> tuple[str, ...]:
    """Return the names of the files that hold a part of the model's tensors.

    Raises:
        Unservable: the bytes are no protobuf message.
    """
    # Almost every model is one file, and reading all of a large one takes a while.
    if LOCATION not in model:
        return ()
    found = set[str]()
    waiting = [(Message.MODEL, memoryview(model))]
    while waiting:
        kind, content = waiting.pop()
        if kind is Message.ENTRY:
            found.update(_location(content))
            continue
        ways = WAYS[kind]
        waiting += [(ways[number], part) for number, part in _fields(content) if number in ways]
    return tuple(sorted(found))


def _location(entry: memoryview) -> Iterator[str]:
    parts = dict(_fields(entry))
    if bytes(parts.get(ENTRY_KEY, b"")) == LOCATION:
        yield str(parts.get(ENTRY_VALUE, b""), "utf-8", "replace")


def inputs_of_any_rank(model: bytes) -> frozenset[str]:
    """Return the inputs for which the model names no shape; onnxruntime shows them as scalars.

    Raises:
        Unservable: the bytes are no protobuf message.
    """
    inputs = _at(memoryview(model), MODEL_GRAPH, GRAPH_INPUT)
    return frozenset(
        str(name, "utf-8", "replace")
        for value in inputs
        for name in _at(value, VALUE_NAME)
        if next(_at(value, VALUE_TYPE, TYPE_TENSOR, TENSOR_SHAPE), None) is None
    )


def _at(content: memoryview, *path: int) -> Iterator[memoryview]:
    """Yield the messages at a path of field numbers."""
    if not path:
        yield content
        return
    for number, part in _fields(content):
        if number == path[0]:
            yield from _at(part, *path[1:])


def _fields(content: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield number and content of the fields that hold messages, texts or packed numbers.

    Raises:
        Unservable: the bytes are no protobuf message.
    """
    at = 0
    while at < len(content):
        tag, at = _varint(content, at)
        wire = tag & 7
        if wire == VARINT:
            _, at = _varint(content, at)
            continue
        if wire == BYTES:
            size, at = _varint(content, at)
        else:
            size = _FIXED_BYTES.get(wire, len(content))
        if at + size > len(content):
            raise Unservable("the model is no file in ONNX: it ends within a field")
        if wire == BYTES:
            yield tag >> 3, content[at : at + size]
        at += size


def _varint(content: memoryview, at: int) -> tuple[int, int]:
    """Return a number and where it ends."""
    value = 0
    for index, byte in enumerate(content[at : at + _MAX_VARINT_BYTES]):
        value |= (byte & _SEVEN_BITS) << (7 * index)
        if byte < _MORE:
            return value, at + index + 1
    raise Unservable("the model is no file in ONNX: a number in it does not end")


def with_float_outputs(model: bytes, names: Iterable[tuple[str, str]]) -> bytes:
    """Return the model with a copy in FP32 of some outputs, given as (output, name of the copy).

    A protobuf message followed by a second one is both of them: lists go on where they ended.
    """
    graph = b"".join(
        _field(GRAPH_NODE, _cast(output.encode(), copy.encode()))
        + _field(GRAPH_OUTPUT, _float_value(copy.encode()))
        for output, copy in names
    )
    return model + _field(MODEL_GRAPH, graph)


def _cast(source: bytes, target: bytes) -> bytes:
    attribute = (
        _field(ATTRIBUTE_NAME, b"to")
        + _number(ATTRIBUTE_INTEGER, FLOAT)
        + _number(ATTRIBUTE_KIND, KIND_INTEGER)
    )
    return (
        _field(NODE_INPUT, source)
        + _field(NODE_OUTPUT, target)
        + _field(NODE_OPERATOR, b"Cast")
        + _field(NODE_ATTRIBUTE, attribute)
    )


def _float_value(name: bytes) -> bytes:
    tensor = _number(TENSOR_TYPE, FLOAT)
    return _field(VALUE_NAME, name) + _field(VALUE_TYPE, _field(TYPE_TENSOR, tensor))


def _field(number: int, content: bytes) -> bytes:
    return _written(number << 3 | BYTES) + _written(len(content)) + content


def _number(number: int, value: int) -> bytes:
    return _written(number << 3 | VARINT) + _written(value)


def _written(value: int) -> bytes:
    pieces = bytearray()
    while value >= _MORE:
        pieces.append(value & _SEVEN_BITS | _MORE)
        value >>= 7
    pieces.append(value)
    return bytes(pieces)
