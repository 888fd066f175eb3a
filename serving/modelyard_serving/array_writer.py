"""Answers of whole arrays, as JSON or as binary tensors, for several requests of one run.  Pure.

What is written is what `protocol.render` writes, to the byte.  All of it but the id and the elements
is the same for the same outputs and as many rows, so it is put together once.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from math import prod

import numpy as np
import orjson

from modelyard_serving import binary, codec, protocol
from modelyard_serving.codec import Array
from modelyard_serving.protocol import Answer, RequestedOutput

MAX_TEMPLATES = 1024
NOT_FINITE = b"null"
"""What is written for a float that JSON has no form for."""
Asked = tuple[RequestedOutput, ...]


class ArrayWriter:
    """Writes answers of one model, whose outputs have these datatypes."""

    def __init__(self, model: str, version: str, datatypes: Mapping[str, str]) -> None:
        self._head = escaped(protocol.head(model, version))
        self._datatypes = datatypes
        self._asked: Asked = ()
        self._templates: dict[tuple[object, ...], bytes] = {}

    def answers(
        self,
        ids: Sequence[str | None],
        counts: Sequence[int],
        asked: Asked,
        arrays: Mapping[str, Array],
    ) -> list[Answer] | None:
        """Return the answer of each request; None if `protocol.render` must write, or refuse, them.

        `counts` are the rows of each, `arrays` have those of all.
        """
        in_binary = asked[0].binary
        if any(each.binary is not in_binary for each in asked):
            return None
        columns = []
        for each in asked:
            array = arrays[each.name]
            column = self._column(each, array, counts) if array.ndim else None
            if column is None:
                return None
            columns.append(column)
        shapes = [arrays[each.name].shape[1:] for each in asked]
        answers = []
        for request_id, count, *elements in zip(ids, counts, *columns, strict=True):
            name = protocol.id_member(request_id)
            template = self._template(asked, count, shapes)
            if in_binary:
                head = template % name
                answers.append(Answer(b"".join((head, *elements)), len(head)))
            else:
                answers.append(Answer(template % (name, *elements)))
        return answers

    def _column(
        self, asked: RequestedOutput, array: Array, counts: Sequence[int]
    ) -> list[bytes | memoryview] | None:
        """Return the elements of each request's rows in one output; None if not in this way."""
        datatype = self._datatypes[asked.name]
        rows = sum(counts)
        if datatype == "BYTES" or len(array) != rows or not array.size:
            return None
        width = array.size // rows
        places = pairwise(accumulate(counts, initial=0))
        if asked.binary:
            raw, size = binary.encode(datatype, array), width * array.itemsize
            return [raw[begin * size : end * size] for begin, end in places]
        if datatype in codec.BINARY_ONLY:
            return None
        flat = np.ascontiguousarray(array).reshape(-1)
        texts: list[bytes | memoryview] = [
            orjson.dumps(flat[begin * width : end * width], option=orjson.OPT_SERIALIZE_NUMPY)
            for begin, end in places
        ]
        if datatype in codec.FLOATS and any(NOT_FINITE in text for text in texts):
            return None
        return texts

    def _template(self, asked: Asked, rows: int, shapes: Sequence[tuple[int, ...]]) -> bytes:
        """Return an answer of so many rows without the id's member and without elements."""
        if asked != self._asked or len(self._templates) >= MAX_TEMPLATES:
            self._asked = asked
            self._templates.clear()
        key = (rows, *shapes)
        found = self._templates.get(key)
        if found is None:
            tensors = (
                self._tensor(each, (rows, *shape))
                for each, shape in zip(asked, shapes, strict=True)
            )
            found = self._head + b'%%b"outputs":[%b]}' % b",".join(tensors)
            self._templates[key] = found
        return found

    def _tensor(self, asked: RequestedOutput, shape: tuple[int, ...]) -> bytes:
        datatype = self._datatypes[asked.name]
        described = escaped(protocol.described(asked.name, datatype, shape))
        if not asked.binary:
            return described + b'"data":%b}'
        size = prod(shape) * codec.NUMPY_TYPES[datatype].itemsize
        return described + b'"parameters":{"binary_data_size":%d}}' % size


def escaped(text: bytes) -> bytes:
    """Return bytes as the constant part of a template."""
    return text.replace(b"%", b"%%")
