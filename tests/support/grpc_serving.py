"""The gRPC transport in a test: a real listener in this process, and real clients of it."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import grpc
import grpc.aio
import numpy as np

from modelyard_serving import fast_model, receipts
from modelyard_serving.access import Access, Everybody
from modelyard_serving.grpc.server import GrpcServer
from modelyard_serving.grpc_wire import health_pb2 as health
from modelyard_serving.grpc_wire import inference_pb2 as wire
from modelyard_serving.held_bytes import HeldBytes
from modelyard_serving.protection import Protection
from support import serving

SERVICE = "inference.GRPCInferenceService"
HEALTH = "grpc.health.v1.Health"
ANSWERS = {
    f"/{SERVICE}/ServerLive": wire.ServerLiveResponse,
    f"/{SERVICE}/ServerReady": wire.ServerReadyResponse,
    f"/{SERVICE}/ModelReady": wire.ModelReadyResponse,
    f"/{SERVICE}/ServerMetadata": wire.ServerMetadataResponse,
    f"/{SERVICE}/ModelMetadata": wire.ModelMetadataResponse,
    f"/{SERVICE}/ModelInfer": wire.ModelInferResponse,
    f"/{HEALTH}/Check": health.HealthCheckResponse,
    f"/{HEALTH}/Watch": health.HealthCheckResponse,
}
LONE = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))
"""A channel with these shares its connection with no other, and goes through no proxy."""


@dataclass(slots=True)
class Served:
    """A bundle behind a listener in this process."""

    server: GrpcServer
    port: int
    http: serving.Served

    @property
    def address(self) -> str:
        """Where the listener is."""
        return f"127.0.0.1:{self.port}"

    def channel(self, *options, **more) -> grpc.aio.Channel:
        """Return a channel of its own connection."""
        return grpc.aio.insecure_channel(self.address, options=(*LONE, *options), **more)


@asynccontextmanager
async def served(
    bundle, access: Access | None = None, *, coalesce=True, papers=receipts.NONE, **limits
) -> AsyncIterator[Served]:
    """Serve a bundle in this process, over gRPC and over HTTP."""
    async with serving.serving(bundle, **limits) as http:
        told = replace(
            serving.settings(bundle, **limits), host="127.0.0.1", grpc_port=0, coalesce=coalesce
        )
        shield = Protection(access or Everybody(), None, ())
        held = HeldBytes(told.limits.max_held_bytes)
        server = GrpcServer(told, http.gate, http.metrics, shield, papers, held)
        for _ in range(8):  # what a run costs is known as if the server had run for long
            model = fast_model.of(http.inference)
        server.open(model)
        try:
            yield Served(server, await server.start(), http)
        finally:
            await server.stop(0)


def method(channel, path: str, *, many: bool = False):
    """Return what calls a method by its path, `Service/Method` or the method of inference alone."""
    full = f"/{path}" if "/" in path else f"/{SERVICE}/{path}"
    kind = channel.unary_stream if many else channel.unary_unary
    decode = ANSWERS[full].FromString if full in ANSWERS else None
    return kind(full, request_serializer=_encode, response_deserializer=decode)


def _encode(message) -> bytes:
    return message if isinstance(message, bytes) else message.SerializeToString()


async def fails(call) -> tuple[grpc.StatusCode, str]:
    """Return how a call fails."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details() or ""
    raise AssertionError(f"the call went well: {answer}")


def raw_request(arrays, **more) -> wire.ModelInferRequest:
    """Return a request with raw tensors: `arrays` is by name, of numbers or of bytes."""
    request = wire.ModelInferRequest(model_name="rain", **more)
    for name, (datatype, array) in arrays.items():
        request.inputs.add(name=name, datatype=datatype, shape=array.shape)
        request.raw_input_contents.append(raw_bytes(datatype, array))
    return request


def raw_bytes(datatype, array) -> bytes:
    """Return an array's elements as raw bytes."""
    if datatype != "BYTES":
        return array.tobytes()
    texts = [text if isinstance(text, bytes) else text.encode() for text in array.reshape(-1)]
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)


def typed_request(tensors, **more) -> wire.ModelInferRequest:
    """Return a request with typed tensors: `tensors` is (name, datatype, shape, field, values)."""
    request = wire.ModelInferRequest(model_name="rain", **more)
    for name, datatype, shape, field, values in tensors:
        tensor = request.inputs.add(name=name, datatype=datatype, shape=shape)
        getattr(tensor.contents, field).extend(values)
    return request


def rain_raw(temp, **more) -> wire.ModelInferRequest:
    """Return a rain request with raw tensors; what is not given is calm."""
    count = len(temp)
    arrays = {
        "temp": ("FP32", np.array(temp, np.float32).reshape(count, 1)),
        "wind": ("FP32", np.full((count, 1), 0.15, np.float32)),
        "station": ("BYTES", np.full((count, 1), "north", object)),
    }
    return raw_request(arrays, **more)


def rain_typed(temp, **more) -> wire.ModelInferRequest:
    """Return a rain request with typed tensors; what is not given is calm."""
    count = len(temp)
    shape = (count, 1)
    tensors = [
        ("temp", "FP32", shape, "fp32_contents", temp),
        ("wind", "FP32", shape, "fp32_contents", [0.15] * count),
        ("station", "BYTES", shape, "bytes_contents", [b"north"] * count),
    ]
    return typed_request(tensors, **more)


def port_of(program: serving.Program) -> int:
    """Return where a program listens for gRPC."""
    found = re.search(r"gRPC on 127\.0\.0\.1:(\d+)", program.wait_for("gRPC on"))
    assert found is not None
    return int(found[1])
