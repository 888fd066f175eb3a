"""The methods of `inference.GRPCInferenceService` and of `grpc.health.v1.Health`.

The same model, answers and words as over HTTP, counted in the same metrics.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from modelyard_core import headers
from modelyard_core.roles import Role
from modelyard_serving import protocol, version
from modelyard_serving.clock import perf_counter
from modelyard_serving.errors import InvalidRequest, NotReady, NotServed
from modelyard_serving.fast_model import FastModel
from modelyard_serving.gate import DRAINING, Gate
from modelyard_serving.grpc import messages as grpc_messages
from modelyard_serving.grpc import status as grpc_status
from modelyard_serving.grpc.calls import Call, Method
from modelyard_serving.grpc.messages import Writer
from modelyard_serving.grpc.status import HTTP_CODES, CallFailed, Status
from modelyard_serving.grpc.together import Together
from modelyard_serving.grpc_wire import health_pb2 as health
from modelyard_serving.grpc_wire import inference_pb2 as wire
from modelyard_serving.inference import Computed, Inference
from modelyard_serving.metrics import Metrics
from modelyard_serving.protocol import InferRequest
from modelyard_serving.receipts import Receipts

SERVICE = "inference.GRPCInferenceService"
HEALTH = "grpc.health.v1.Health"
SERVICES = ("", SERVICE)
"""What the health of can be asked; the empty name is the whole process."""
ROLE = headers.ROLE.encode()
REQUEST_ID = b"x-request-id"
RECEIPT = headers.RECEIPT.encode()
ROLES = {role.value.encode(): role for role in Role}


REASONS: dict[Status, str] = {
    Status.CANCELLED: "ClientDisconnect",
    Status.DEADLINE_EXCEEDED: "DeadlineExceeded",
    Status.RESOURCE_EXHAUSTED: "TooLarge",
    Status.UNIMPLEMENTED: "InvalidRequest",
    Status.INTERNAL: "InvalidRequest",
    Status.UNAVAILABLE: "Overloaded",
}
"""What the transport itself refuses calls for, in the words of the metrics."""


@dataclass(frozen=True, slots=True)
class Simple:
    """A method that answers a message by a message, at once."""

    request: Any
    """The message's type."""
    answer: Callable[[Any], Any]
    is_open: bool = False

    def start(self, call: Call) -> bytes:
        """Return the answer's message."""
        answer: bytes = self.answer(_read(self.request, call)).SerializeToString()
        return answer

    def waits(self, call: Call) -> None:
        """Do nothing: no call waits."""

    def over(self, call: Call, status: Status) -> None:
        """Count nothing: only inferences are."""


def _read(kind: Any, call: Call) -> Any:  # noqa: ANN401 - messages carry no types
    try:
        return kind.FromString(call.message())
    except DecodeError as error:
        raise InvalidRequest(f"the message is no {kind.DESCRIPTOR.full_name}") from error


class Infer:
    """`ModelInfer`: the one method that is counted."""

    is_open = False

    def __init__(self, gate: Gate, metrics: Metrics, papers: Receipts) -> None:
        self._gate = gate
        self._metrics = metrics
        self._papers = papers
        self._writer: Writer | None = None
        self._together: Together | None = None

    def open(self, model: FastModel, *, share: bool) -> None:
        """Answer what can be answered fast with a proven model from now on."""
        self._together = Together(model, self._metrics, self._papers, self._run_alone, share=share)

    def start(self, call: Call) -> Coroutine[Any, Any, bytes] | None:
        """Return what brings the answer's message, or let it come with those of other calls."""
        together = self._together
        if together is not None and together.add(call, _role(call), _sample_id(call)):
            return None
        return self._answer(call)

    def _run_alone(self, call: Call) -> None:
        call.sink.run(call, self._answer(call))

    async def _answer(self, call: Call) -> bytes:
        inference = self._gate.inference()
        role, sample_id = _role(call), _sample_id(call)
        work = _Work(call, inference, self._writer_of(inference), self._papers)
        written, rows = await inference.answer(
            work.read, work.write, call.message_bytes, role, sample_id
        )
        self._metrics.rows(role, rows)
        if self._together is not None and work.request is not None:
            self._together.learn(call, work.parsed, work.request)
        return written

    def _writer_of(self, inference: Inference) -> Writer:
        if self._writer is None:
            self._writer = Writer(inference.name, inference.version, inference.model.outputs)
        return self._writer

    def waits(self, call: Call) -> None:
        """Show the call as one that is being answered."""
        del call
        self._metrics.in_flight.inc()

    def over(self, call: Call, status: Status) -> None:
        """Count the call."""
        seconds = perf_counter() - call.begun
        self._metrics.answered(_role(call), HTTP_CODES[status], seconds)
        if status is not Status.OK:
            self._metrics.rejected(call.reason or REASONS[status])
        if call.work is not None:
            self._metrics.in_flight.dec()


def _role(call: Call) -> Role:
    return ROLES.get(call.head.metadata.get(ROLE, b""), Role.DIRECT)


def _sample_id(call: Call) -> str | None:
    value = call.head.metadata.get(REQUEST_ID)
    return None if value is None else value.decode(errors="replace")


class _Work:
    """One inference, in whatever thread it is done."""

    def __init__(self, call: Call, inference: Inference, writer: Writer, papers: Receipts) -> None:
        self._call = call
        self._inference = inference
        self._writer = writer
        self._papers = papers
        self._raw = False
        self.parsed = wire.ModelInferRequest()
        self.request: InferRequest | None = None

    def read(self) -> InferRequest:
        self.parsed = parsed = grpc_messages.parse(self._call.message())
        self._inference.check_name(parsed.model_name, parsed.model_version or None)
        self._raw = grpc_messages.is_raw(parsed)
        self.request = grpc_messages.request(parsed)
        return self.request

    def write(self, computed: Computed) -> tuple[bytes, int]:
        written = self._writer.write(computed, raw=self._raw)
        if self._papers.enabled:
            known_as = _sample_id(self._call) or computed.request_id
            content = self._writer.content(computed)
            receipt = self._papers.write(self._inference, known_as, computed.scores, content)
            self._call.headers = grpc_status.field(RECEIPT, receipt.encode())
        return written, computed.rows


class Watch:
    """`Watch`: the health of a service now, and each time that it changes."""

    is_open = True

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._told: dict[Call, tuple[str, health.HealthCheckResponse.ServingStatus]] = {}

    def start(self, call: Call) -> None:
        """Tell the health as it is; changes follow."""
        service = _read(health.HealthCheckRequest, call).service
        self._told[call] = (service, health.HealthCheckResponse.UNKNOWN)
        self.update()

    def update(self) -> None:
        """Tell everybody whose service's health is another than was told."""
        for call, (service, told) in list(self._told.items()):
            known = service in SERVICES
            status = _health(self._gate) if known else health.HealthCheckResponse.SERVICE_UNKNOWN
            if status != told:
                self._told[call] = (service, status)
                message = health.HealthCheckResponse(status=status).SerializeToString()
                call.sink.push_message(call, message)

    def close(self) -> None:
        """End all calls: there will be no more changes."""
        for call in list(self._told):
            call.sink.end_call(call, Status.UNAVAILABLE, DRAINING)

    def waits(self, call: Call) -> None:
        """Do nothing: no call is a task."""

    def over(self, call: Call, status: Status) -> None:
        """Forget the call."""
        del status
        self._told.pop(call, None)


def _health(gate: Gate) -> "health.HealthCheckResponse.ServingStatus":
    answers = health.HealthCheckResponse
    return answers.SERVING if gate.is_ready() else answers.NOT_SERVING


class Service:
    """Both services of one process."""

    def __init__(self, gate: Gate, metrics: Metrics, papers: Receipts) -> None:
        self.infer = Infer(gate, metrics, papers)
        self.watch = Watch(gate)
        told = _Descriptions(gate)
        by_name: dict[str, Method] = {
            f"{SERVICE}/ServerLive": Simple(wire.ServerLiveRequest, told.server_live, True),
            f"{SERVICE}/ServerReady": Simple(wire.ServerReadyRequest, told.server_ready, True),
            f"{SERVICE}/ModelReady": Simple(wire.ModelReadyRequest, told.model_ready),
            f"{SERVICE}/ServerMetadata": Simple(wire.ServerMetadataRequest, told.server),
            f"{SERVICE}/ModelMetadata": Simple(wire.ModelMetadataRequest, told.model),
            f"{SERVICE}/ModelInfer": self.infer,
            f"{HEALTH}/Check": Simple(health.HealthCheckRequest, told.health, True),
            f"{HEALTH}/Watch": self.watch,
        }
        self.methods = {f"/{name}".encode(): method for name, method in by_name.items()}
        """By path."""


class _Descriptions:
    """The answers about the server and its model."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def server_live(self, _: wire.ServerLiveRequest) -> wire.ServerLiveResponse:
        return wire.ServerLiveResponse(live=True)

    def server_ready(self, _: wire.ServerReadyRequest) -> wire.ServerReadyResponse:
        return wire.ServerReadyResponse(ready=self._gate.is_ready())

    def model_ready(self, asked: wire.ModelReadyRequest) -> wire.ModelReadyResponse:
        try:
            self._served(asked.name, asked.version)
        except (NotServed, NotReady):
            return wire.ModelReadyResponse(ready=False)
        return wire.ModelReadyResponse(ready=self._gate.is_ready())

    def server(self, _: wire.ServerMetadataRequest) -> wire.ServerMetadataResponse:
        described = protocol.server_metadata(version.own())
        described["extensions"].remove("statistics")  # asked for over HTTP
        return wire.ServerMetadataResponse(**described)

    def model(self, asked: wire.ModelMetadataRequest) -> wire.ModelMetadataResponse:
        inference = self._served(asked.name, asked.version)
        signature = inference.signature
        described = protocol.model_metadata(
            inference.name,
            inference.version,
            signature.inputs,
            signature.outputs,
            inference.digest,
        )
        return wire.ModelMetadataResponse(**described)

    def health(self, asked: health.HealthCheckRequest) -> health.HealthCheckResponse:
        if asked.service not in SERVICES:
            raise CallFailed(Status.NOT_FOUND, f"there is no service {asked.service!r} here")
        return health.HealthCheckResponse(status=_health(self._gate))

    def _served(self, name: str, version: str) -> Inference:
        inference = self._gate.inference()
        inference.check_name(name, version or None)
        return inference
