"""Requests with binary tensors, whose JSON parts clients repeat to the byte.  Pure.

The JSON part of a request of numbers decides everything but the numbers: which tensors of which
sizes begin where, and which outputs are asked for.  So it is read once and remembered, without the
id where that is what it begins with: each request may have its own.
"""

import re
from dataclasses import dataclass

import numpy as np

from modelyard_serving import protocol
from modelyard_serving.contract import Bound, Contract
from modelyard_serving.protocol import InferRequest, RequestedOutput

MAX_PLANS = 256
MAX_JSON_BYTES = 4096
DTYPES = {
    name: np.dtype(f"<{code}")
    for name, code in {
        "FP32": "f4", "FP64": "f8",
        "INT8": "i1", "INT16": "i2", "INT32": "i4", "INT64": "i8",
        "UINT8": "u1", "UINT16": "u2", "UINT32": "u4", "UINT64": "u8",
    }.items()
}  # fmt: skip
"""Datatypes of which every value is good, and which numpy has."""
ID_FIRST = re.compile(rb'\{"id": ?"([ !#-\[\]-~]{0,128})", ?')
"""An object whose first member is an id without escapes."""


@dataclass(frozen=True, slots=True)
class _Tensor:
    name: str
    dtype: "np.dtype[np.generic]"
    begin: int
    """Behind the JSON part."""
    end: int
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a JSON part says."""

    size: int
    """Bytes that follow it."""
    request_id: str | None
    """None, too, where it is not remembered with the rest."""
    tensors: tuple[_Tensor, ...]
    outputs: tuple[RequestedOutput, ...]
    rows: int


class BinaryReader:
    """Reads bodies with binary tensors for one model."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._plans: dict[bytes, _Plan] = {}

    def read(self, body: bytes, json_length: int) -> tuple[str | None, Bound]:
        """Return a request's id and its arrays.

        Raises:
            InvalidRequest, TooLarge: as `protocol.parse` and `Contract.bind`.
        """
        request_id, rest = cut_id(body[:json_length])
        plan = self._plans.get(rest)
        if plan is not None and plan.size == len(body) - json_length:
            feeds = {
                tensor.name: np.frombuffer(
                    body[json_length + tensor.begin : json_length + tensor.end], tensor.dtype
                ).reshape(tensor.shape)
                for tensor in plan.tensors
            }
            known = plan.request_id if request_id is None else request_id
            return known, Bound(feeds, plan.outputs, plan.rows)
        request = protocol.parse(body, json_length)
        bound = self._contract.bind(request)
        if 0 < json_length <= MAX_JSON_BYTES:
            own_id = request.id if request_id is None else None
            self._remember(rest, own_id, request, bound)
        return request.id, bound

    def _remember(
        self, rest: bytes, own_id: str | None, request: InferRequest, bound: Bound
    ) -> None:
        tensors = []
        begin = 0
        for tensor in request.inputs:
            dtype = DTYPES.get(tensor.datatype)
            if tensor.raw is None or dtype is None:
                return
            end = begin + len(tensor.raw)
            tensors.append(_Tensor(tensor.name, dtype, begin, end, tensor.shape))
            begin = end
        if len(self._plans) >= MAX_PLANS:
            self._plans.clear()
        self._plans[rest] = _Plan(begin, own_id, tuple(tensors), bound.outputs, bound.rows)


def cut_id(head: bytes) -> tuple[str | None, bytes]:
    """Return the id that a JSON part begins with, and that part without it.

    >>> cut_id(b'{"id": "7", "inputs": []}')
    ('7', b'{"inputs": []}')
    """
    found = ID_FIRST.match(head)
    if found is None:
        return None, head
    rest = b"{" + head[found.end() :]
    if b'"id"' in rest or b"\\" in rest:  # it may have a second one, perhaps in disguise
        return None, head
    return str(found[1], "ascii"), rest
