"""One request's way through the model: read, bound, run, counted.

Knows the protocol's requests and the model; knows no HTTP, so that every transport uses it as it is.
Small and fast requests run where they are; what would hold up the event loop goes to a thread.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from modelyard_core.roles import Role
from modelyard_core.signature import Signature
from modelyard_serving import codec, protocol
from modelyard_serving.codec import Array
from modelyard_serving.contract import Bound, Contract
from modelyard_serving.model import OnnxModel
from modelyard_serving.protocol import InferRequest, RequestedOutput
from modelyard_serving.recorder import Recorder, scores_of
from modelyard_serving.workers import Workers

T = TypeVar("T")

LARGE_BODY_BYTES = 64 * 1024
"""From here on even reading the request holds up the event loop for too long."""


@dataclass(frozen=True, slots=True)
class Computed:
    """What the model made of one request."""

    arrays: Mapping[str, Array]
    """By output: those asked for, and the score."""
    outputs: tuple[RequestedOutput, ...]
    request_id: str | None
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

    def run(self, request: InferRequest) -> Computed:
        """Return what the model makes of a request; callable from any thread, counts nothing.

        Raises:
            InvalidRequest: not a request that this model takes.
            TooLarge: more rows than a request may have.
            ModelFailed: the model broke on a valid request.
        """
        return self._run(request.id, self.contract.bind(request))

    async def compute(
        self, read: Callable[[], InferRequest], size: int, role: Role, sample_id: str | None
    ) -> Computed:
        """Return what the model makes of the request that `read` returns, and count it.

        `size` is about how many bytes `read` works on, `sample_id` what a copy of the request has
        too; without it the request's own id stands in.

        Raises:
            Overloaded: the line in front of the threads is full.
            InvalidRequest, TooLarge, ModelFailed: as `run`.
        """
        return await self.answer(read, lambda computed: computed, size, role, sample_id)

    async def answer(
        self,
        read: Callable[[], InferRequest],
        write: Callable[[Computed], T],
        size: int,
        role: Role,
        sample_id: str | None,
    ) -> T:
        """Return what `write` makes of the result: as `compute`, in the thread that ran the model.

        A request whose answer cannot be written is not counted.
        """
        computed, answer = await self._answered(read, write, size)
        del sample_id
        self.recorder.record(role, computed.rows, computed.feeds, computed.scores)
        return answer

    async def _answered(
        self, read: Callable[[], InferRequest], write: Callable[[Computed], T], size: int
    ) -> tuple[Computed, T]:
        def all_of_it() -> tuple[Computed, T]:
            computed = self.run(read())
            return computed, write(computed)

        def the_rest() -> tuple[Computed, T]:
            computed = self._run(request.id, bound)
            return computed, write(computed)

        if size > LARGE_BODY_BYTES:
            return await self.workers.run(all_of_it)
        request = read()
        bound = self.contract.bind(request)
        if self.model.is_slow_for(bound.rows):
            return await self.workers.run(the_rest)
        return the_rest()

    def _run(self, request_id: str | None, bound: Bound) -> Computed:
        score = self.signature.score
        asked = [output.name for output in bound.outputs]
        names = asked if score in asked else [*asked, score]
        arrays = dict(zip(names, self.model.run(bound.feeds, names, bound.rows), strict=True))
        scores = scores_of(arrays[score])
        return Computed(arrays, bound.outputs, request_id, bound.rows, bound.feeds, scores)

    def write(self, computed: Computed) -> bytes:
        """Return the answer's body.

        Raises:
            InvalidRequest: an output cannot be written in the form that was asked for.
        """
        outputs = [self._encode(asked.name, computed) for asked in computed.outputs]
        return protocol.render(self.name, self.version, computed.request_id, outputs)

    def _encode(self, name: str, computed: Computed) -> protocol.OutputTensor:
        datatype, array = self.model.outputs[name], computed.arrays[name]
        data = codec.encode(name, datatype, array)
        return protocol.OutputTensor(name, datatype, array.shape, data)
