"""The gRPC service as its clients see it: the same model, answers and words as over HTTP."""

import gzip

import grpc
import numpy as np
import pytest

from modelyard_serving.grpc_wire import health_pb2 as health
from modelyard_serving.grpc_wire import inference_pb2 as wire
from support import grpc_serving, serving
from support.grpc_serving import HEALTH, fails, method, rain_raw, rain_typed, raw_request

SERVING = health.HealthCheckResponse.SERVING
NOT_SERVING = health.HealthCheckResponse.NOT_SERVING


@pytest.fixture
async def rain(rain_bundle):
    async with grpc_serving.served(rain_bundle, max_rows=64, max_body_bytes=64 * 1024) as served:
        yield served


@pytest.fixture
async def channel(rain):
    async with rain.channel() as channel:
        yield channel


def typed(answer) -> dict:
    """Return a typed answer's elements by output."""
    return {
        output.name: list(next(value for _, value in output.contents.ListFields()))
        for output in answer.outputs
    }


def untyped(answer) -> dict:
    """Return a raw answer's elements by output."""
    dtypes = {"INT64": np.int64, "FP32": np.float32}
    return {
        output.name: np.frombuffer(raw, dtypes[output.datatype]).tolist()
        for output, raw in zip(answer.outputs, answer.raw_output_contents, strict=True)
    }


async def test_an_answer_has_the_form_of_its_request_and_the_values_of_http(rain, channel):
    http = (await rain.http.infer(*serving.rows([0.5, -2.0]))).json()
    wanted = {output["name"]: output["data"] for output in http["outputs"]}

    raw = await method(channel, "ModelInfer")(rain_raw([0.5, -2.0], id="seven"))
    plain = await method(channel, "ModelInfer")(rain_typed([0.5, -2.0]))

    assert untyped(raw) == typed(plain)
    for name, values in wanted.items():
        assert untyped(raw)[name] == pytest.approx(values)
    assert [list(output.shape) for output in plain.outputs] == [[2], [2, 2]]
    assert not any(output.HasField("contents") for output in raw.outputs)
    assert (raw.model_name, raw.model_version, raw.id) == ("rain", "1", "seven")
    assert plain.id == ""


async def test_only_the_outputs_asked_for_are_answered(channel):
    request = rain_typed([0.5], model_version="1")
    request.outputs.add(name="probabilities")

    answer = await method(channel, "ModelInfer")(request)

    assert list(typed(answer)) == ["probabilities"]


async def test_the_server_and_its_model_are_described_as_over_http(rain, channel):
    http = (await rain.http.http.get("/v2/models/rain")).json()

    server = await method(channel, "ServerMetadata")(wire.ServerMetadataRequest())
    model = await method(channel, "ModelMetadata")(wire.ModelMetadataRequest(name="rain"))

    assert server.name == "modelyard-serving"
    assert list(server.extensions) == ["binary_tensor_data"]
    assert {
        "name": model.name,
        "versions": list(model.versions),
        "platform": model.platform,
        "inputs": [
            {"name": t.name, "datatype": t.datatype, "shape": list(t.shape)} for t in model.inputs
        ],
        "outputs": [
            {"name": t.name, "datatype": t.datatype, "shape": list(t.shape)} for t in model.outputs
        ],
        "properties": dict(model.properties),
    } == http


async def test_readiness_and_health_follow_the_gate(rain, channel):
    async def seen() -> tuple:
        ready = await method(channel, "ServerReady")(wire.ServerReadyRequest())
        model = await method(channel, "ModelReady")(wire.ModelReadyRequest(name="rain"))
        check = await method(channel, f"{HEALTH}/Check")(health.HealthCheckRequest())
        return ready.ready, model.ready, check.status

    watch = method(channel, f"{HEALTH}/Watch", many=True)(
        health.HealthCheckRequest(service=grpc_serving.SERVICE)
    )

    assert await seen() == (True, True, SERVING)
    assert (await watch.read()).status == SERVING
    assert (await method(channel, "ServerLive")(wire.ServerLiveRequest())).live

    rain.http.gate.drain()

    assert await seen() == (False, False, NOT_SERVING)
    assert (await watch.read()).status == NOT_SERVING
    watch.cancel()


async def test_what_is_not_served_is_said_to_be_so(channel):
    other = wire.ModelReadyRequest(name="rain", version="2")
    watch = method(channel, f"{HEALTH}/Watch", many=True)(health.HealthCheckRequest(service="x"))

    assert not (await method(channel, "ModelReady")(other)).ready
    assert await fails(
        method(channel, "ModelMetadata")(wire.ModelMetadataRequest(name="snow"))
    ) == (
        grpc.StatusCode.NOT_FOUND,
        "there is no model 'snow' here; this is 'rain'",
    )
    assert await fails(
        method(channel, f"{HEALTH}/Check")(health.HealthCheckRequest(service="x"))
    ) == (
        grpc.StatusCode.NOT_FOUND,
        "there is no service 'x' here",
    )
    assert await fails(method(channel, "RepositoryIndex")(b"")) == (
        grpc.StatusCode.UNIMPLEMENTED,
        "there is no method /inference.GRPCInferenceService/RepositoryIndex",
    )
    assert (await watch.read()).status == health.HealthCheckResponse.SERVICE_UNKNOWN
    watch.cancel()


def with_input(request, index=0, **fields):
    for name, value in fields.items():
        tensor = request.inputs[index]
        if name == "shape":
            del tensor.shape[:]
            tensor.shape.extend(value)
        else:
            setattr(tensor, name, value)
    return request


def with_contents(request, field, values):
    getattr(request.inputs[0].contents, field).extend(values)
    return request


def with_raw(request, raw):
    request.raw_input_contents[0] = raw
    return request


def without_raw(request):
    del request.raw_input_contents[-1]
    return request


def asking_for(request, *names):
    for name in names:
        request.outputs.add(name=name)
    return request


def with_parameter(request, name):
    request.parameters[name].SetInParent()
    return request


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        pytest.param(wire.ModelInferRequest(model_name="rain"), "inputs is empty", id="empty"),
        pytest.param(with_input(rain_raw([1]), name="x"), "has no input 'x'", id="name"),
        pytest.param(with_input(rain_raw([1]), name="wind"), "there twice", id="twice"),
        pytest.param(with_input(rain_raw([1]), datatype="FP64"), "FP32, not FP64", id="type"),
        pytest.param(with_input(rain_raw([1]), datatype="fp32"), "unknown datatype", id="case"),
        pytest.param(with_input(rain_raw([1]), shape=[1]), "has shape", id="shape"),
        pytest.param(with_input(rain_raw([1]), shape=[-1, 1]), "negative", id="negative"),
        pytest.param(with_raw(rain_raw([1]), b"123"), "4 bytes, not 3", id="raw-size"),
        pytest.param(
            with_contents(rain_typed([1]), "fp32_contents", [1]), "data has 2", id="typed-size"
        ),
        pytest.param(without_raw(rain_raw([1])), "2 entries for 3 inputs", id="raw-count"),
        pytest.param(
            with_contents(rain_raw([1]), "fp32_contents", [1]), "both contents", id="both"
        ),
        pytest.param(
            with_contents(rain_typed([1]), "fp64_contents", [1]), "not fp64_contents", id="field"
        ),
        pytest.param(with_input(rain_typed([]), shape=[1, 1]), "data is missing", id="no-data"),
        pytest.param(asking_for(rain_raw([1]), "x"), "no output 'x'", id="output"),
        pytest.param(
            asking_for(rain_raw([1]), "label", "label"), "requested twice", id="output-twice"
        ),
        pytest.param(with_parameter(rain_raw([1]), "x"), "must be a string", id="parameter"),
        pytest.param(b"\xff", "no inference.ModelInferRequest", id="no-message"),
    ],
)
async def test_a_bad_request_is_an_invalid_argument(channel, request_, sentence):
    code, details = await fails(method(channel, "ModelInfer")(request_))

    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert sentence in details


async def test_too_much_is_resource_exhausted(rain, channel):
    rows, size = rain_raw([0.5] * 65), rain_raw([0.5] * 10_000)

    assert await fails(method(channel, "ModelInfer")(rows)) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "65 rows; this server takes at most 64 a request",
    )
    assert await fails(method(channel, "ModelInfer")(size)) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "the message is over the limit of 65536 bytes",
    )


async def test_missing_values_are_values(rain, channel):
    request = raw_request(
        {
            "temp": ("FP32", np.array([[np.nan]], np.float32)),
            "wind": ("FP32", np.array([[np.inf]], np.float32)),
            "station": ("BYTES", np.array([["north"]], object)),
        }
    )
    plain = rain_typed([np.nan])

    raw_answer = await method(channel, "ModelInfer")(request)
    typed_answer = await method(channel, "ModelInfer")(plain)

    assert np.isnan(untyped(raw_answer)["probabilities"]).all()
    assert np.isnan(typed(typed_answer)["probabilities"]).all()


async def test_calls_are_counted_where_requests_are(rain, channel):
    metadata = (("x-modelyard-role", "canary"), ("x-request-id", "r-1"))
    await method(channel, "ModelInfer")(rain_raw([0.5, 1.5]), metadata=metadata)
    await fails(method(channel, "ModelInfer")(rain_raw([0.5], model_version="9")))

    text = rain.http.metrics.render().decode()

    labels = 'model="rain",role="canary",version="1"'
    assert f"modelyard_rows_total{{{labels}}} 2.0" in text
    assert 'modelyard_requests_total{code="200",model="rain",role="canary",version="1"} 1.0' in text
    assert 'modelyard_requests_total{code="404",model="rain",role="direct",version="1"} 1.0' in text
    assert 'modelyard_rejected_total{reason="NotServed"} 1.0' in text


async def test_packed_messages_are_unpacked_within_the_limit(rain):
    async with rain.channel(compression=grpc.Compression.Gzip) as channel:
        answer = await method(channel, "ModelInfer")(rain_typed([0.5] * 60))
        code, details = await fails(method(channel, "ModelInfer")(rain_raw([0.5] * 20_000)))

    assert len(typed(answer)["label"]) == 60
    assert len(gzip.compress(rain_raw([0.5] * 20_000).SerializeToString())) < 64 * 1024
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "over the limit of 65536" in details
