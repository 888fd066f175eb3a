"""One request's way through the model: read, bound, run, counted.

Knows the protocol's requests and the model; knows no HTTP, so that every transport uses it as it is.
Small and fast requests run where they are; what would hold up the event loop goes to a thread.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from modelyard_core.roles import Role
from modelyard_core.signature import Signature
from modelyard_serving import binary, codec, protocol
from modelyard_serving.codec import Array
from modelyard_serving.contract import Bound, Contract
from modelyard_serving.errors import NotServed
from modelyard_serving.model import OnnxModel
from modelyard_serving.model_statistics import Stage, Statistics, Stopwatch
from modelyard_serving.protocol import InferRequest, RequestedOutput
from modelyard_serving.recorder import Recorder
from modelyard_serving.workers import Workers

T = TypeVar("T")

LARGE_BODY_BYTES = 64 * 1024
"""From here on even reading the request holds up the event loop for too long."""


class Computed(msgspec.Struct, frozen=True, gc=False):
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
    statistics: Statistics = field(default_factory=Statistics)

    def check_name(self, name: str, version: str | None) -> None:
        """Return if a request names this model, and its version if any.

        Raises:
            NotServed: it names another.
        """
        if name != self.name:
            raise NotServed(f"there is no model {name!r} here; this is {self.name!r}")
        if version is not None and version != self.version:
            raise NotServed(
                f"model {name!r} has no version {version!r} here; this is {self.version!r}"
            )

    def run(self, request: InferRequest) -> Computed:
        """Return what the model makes of a request; callable from any thread, counts nothing.

        Raises:
            InvalidRequest: not a request that this model takes.
            TooLarge: more rows than a request may have.
            ModelFailed: the model broke on a valid request.
        """
        return self.run_bound(request.id, self.contract.bind(request))

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
        watch = Stopwatch()
        try:
            computed, answer = await self._answered(read, write, size, watch)
        except Exception:
            self.statistics.failed(watch.total())
            raise
        self.statistics.answered(1, computed.rows, watch.total(), watch.spent)
        known_as = sample_id or computed.request_id
        self.recorder.record(role, computed.rows, computed.feeds, computed.scores, known_as)
        return answer

    async def _answered(
        self,
        read: Callable[[], InferRequest],
        write: Callable[[Computed], T],
        size: int,
        watch: Stopwatch,
    ) -> tuple[Computed, T]:
        def bound() -> tuple[str | None, Bound]:
            request = read()
            return request.id, self.contract.bind(request)

        def the_rest(request_id: str | None, bound: Bound) -> tuple[Computed, T]:
            watch.lap(Stage.QUEUE)
            computed = self.run_bound(request_id, bound)
            watch.lap(Stage.INFER)
            answer = write(computed)
            watch.lap(Stage.OUTPUT)
            return computed, answer

        def all_of_it() -> tuple[Computed, T]:
            watch.lap(Stage.QUEUE)
            request = bound()
            watch.lap(Stage.INPUT)
            return the_rest(*request)

        if size > LARGE_BODY_BYTES:
            return await self.workers.run(all_of_it)
        request = bound()
        watch.lap(Stage.INPUT)
        if self.model.pace.is_slow(request[1].rows):
            return await self.workers.run(the_rest, *request)
        return the_rest(*request)

    def run_bound(self, request_id: str | None, bound: Bound) -> Computed:
        score = self.signature.score
        asked = [output.name for output in bound.outputs]
        names = asked if score in asked else [*asked, score]
        arrays = dict(zip(names, self.model.run(bound.feeds, names, bound.rows), strict=True))
        return Computed(arrays, bound.outputs, request_id, bound.rows, bound.feeds, arrays[score])

    def write(
        self,
        request_id: str | None,
        asked: Sequence[RequestedOutput],
        arrays: Mapping[str, Array],
    ) -> protocol.Answer:
        """Return the answer over HTTP; `arrays` has every output that was asked for.

        Raises:
            InvalidRequest: an output cannot be written in the form that was asked for.
        """
        outputs = [self._encode(each, arrays[each.name]) for each in asked]
        return protocol.render(self.name, self.version, request_id, outputs)

    def _encode(self, asked: RequestedOutput, array: Array) -> protocol.OutputTensor:
        name = asked.name
        datatype = self.model.outputs[name]
        data: bytes | memoryview
        if asked.binary:
            data = binary.encode(datatype, array)
        else:
            data = codec.encode(name, datatype, array)
        return protocol.OutputTensor(name, datatype, array.shape, data, asked.binary)
