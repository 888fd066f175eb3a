"""Requests with binary tensors, whose JSON parts clients repeat to the byte.  Pure.

The JSON part of a request of numbers decides everything but the numbers: which tensors of which
sizes begin where, and which outputs are asked for.  So it is read once and remembered.
"""

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


@dataclass(frozen=True, slots=True)
class _Tensor:
    name: str
    dtype: "np.dtype[np.generic]"
    begin: int
    end: int
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a JSON part says."""

    size: int
    """Bytes of the whole body."""
    request_id: str | None
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
        plan = self._plans.get(body[:json_length])
        if plan is not None and plan.size == len(body):
            feeds = {
                tensor.name: np.frombuffer(body[tensor.begin : tensor.end], tensor.dtype).reshape(
                    tensor.shape
                )
                for tensor in plan.tensors
            }
            return plan.request_id, Bound(feeds, plan.outputs, plan.rows)
        request = protocol.parse(body, json_length)
        bound = self._contract.bind(request)
        self._remember(body, json_length, request, bound)
        return request.id, bound

    def _remember(self, body: bytes, json_length: int, request: InferRequest, bound: Bound) -> None:
        if not 0 < json_length <= MAX_JSON_BYTES:
            return
        tensors = []
        begin = json_length
        for tensor in request.inputs:
            dtype = DTYPES.get(tensor.datatype)
            if tensor.raw is None or dtype is None:
                return
            end = begin + len(tensor.raw)
            tensors.append(_Tensor(tensor.name, dtype, begin, end, tensor.shape))
            begin = end
        if len(self._plans) >= MAX_PLANS:
            self._plans.clear()
        self._plans[body[:json_length]] = _Plan(
            len(body), request.id, tuple(tensors), bound.outputs, bound.rows
        )
