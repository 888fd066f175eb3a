"""One request's way through the model: bytes in, bytes out, counted.

Knows the protocol's JSON and the model; knows no HTTP, so that another transport can use it as it
is.  Small and fast requests run where they are; what would hold up the event loop goes to a thread.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from modelyard_core.roles import Role
from modelyard_core.signature import Signature
from modelyard_serving import codec, protocol
from modelyard_serving.codec import Array
from modelyard_serving.contract import Bound, Contract
from modelyard_serving.model import OnnxModel
from modelyard_serving.recorder import Recorder, scores_of
from modelyard_serving.workers import Workers

LARGE_BODY_BYTES = 64 * 1024
"""From here on even reading the request holds up the event loop for too long."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one request."""

    body: bytes
    rows: int


@dataclass(frozen=True, slots=True)
class _Computed:
    body: bytes
    rows: int
    feeds: Mapping[str, Array]
    scores: Array


@dataclass(frozen=True, slots=True)
class Inference:
    """A proven model, ready to answer."""

    name: str
    version: str
    digest: str
    signature: Signature
    profile: bytes
    """`profile.json` as it was verified."""
    model: OnnxModel
    contract: Contract
    recorder: Recorder
    workers: Workers

    async def answer(self, body: bytes, role: Role) -> Answer:
        """Return the answer's JSON and count the rows under the role.

        Raises:
            InvalidRequest: not a request that this model takes.
            TooLarge: more rows than a request may have.
            Overloaded: the line in front of the threads is full.
            ModelFailed: the model broke on a valid request.
        """
        computed = await self._computed(body)
        self.recorder.record(role, computed.rows, computed.feeds, computed.scores)
        return Answer(computed.body, computed.rows)

    async def _computed(self, body: bytes) -> _Computed:
        if len(body) > LARGE_BODY_BYTES:
            return await self.workers.run(self._read_and_run, body)
        request = protocol.parse(body)
        bound = self.contract.bind(request)
        if self.model.is_slow_for(bound.rows):
            return await self.workers.run(self._run, request.id, bound)
        return self._run(request.id, bound)

    def _read_and_run(self, body: bytes) -> _Computed:
        request = protocol.parse(body)
        return self._run(request.id, self.contract.bind(request))

    def _run(self, request_id: str | None, bound: Bound) -> _Computed:
        score = self.signature.score
        names = bound.outputs if score in bound.outputs else (*bound.outputs, score)
        arrays = dict(zip(names, self.model.run(bound.feeds, names, bound.rows), strict=True))
        outputs = [self._encode(name, arrays[name]) for name in bound.outputs]
        return _Computed(
            body=protocol.render(self.name, self.version, request_id, outputs),
            rows=bound.rows,
            feeds=bound.feeds,
            scores=scores_of(arrays[score]),
        )

    def _encode(self, name: str, array: Array) -> protocol.OutputTensor:
        datatype = self.model.outputs[name]
        data = codec.encode(name, datatype, array)
        return protocol.OutputTensor(name, datatype, array.shape, data)
