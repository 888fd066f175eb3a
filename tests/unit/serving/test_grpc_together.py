"""Small calls of raw numbers that arrive together share runs, and feel nothing of each other."""

import asyncio
from datetime import UTC, datetime

import grpc
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from modelyard_core import headers
from modelyard_core import receipts as core
from modelyard_core.receipts import Receipt
from modelyard_core.reference import NumericProfile, Profile
from modelyard_core.roles import Role
from modelyard_core.signature import Signature, Tensor
from modelyard_serving import binary
from modelyard_serving.grpc import messages as grpc_messages
from modelyard_serving.grpc import raw as grpc_raw
from modelyard_serving.grpc.raw import RawReader
from modelyard_serving.grpc_wire import inference_pb2 as wire
from modelyard_serving.receipts import Receipts
from support import bundles, grpc_serving, onnx_models
from support.grpc_serving import method, raw_request

INPUTS = (Tensor("a", "FP32", (-1, 2)), Tensor("b", "FP32", (-1, 1)))
OUTPUTS = (Tensor("sum", "FP32", (-1, 2)), Tensor("same", "FP32", (-1, 1)))
SIGNATURE = Signature("Regression", INPUTS, OUTPUTS, score="same")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
PROFILE = Profile(1, (), (), NumericProfile("same", (0.0,), (0, 1), 0, 0.0, 1.0))


@pytest.fixture(scope="module")
def sums(tmp_path_factory):
    """Return a model that adds its two inputs, and gives one of them back."""
    nodes = [
        helper.make_node("Add", ["a", "b"], ["sum"]),
        helper.make_node("Identity", ["b"], ["same"]),
    ]
    plain = [[(t.name, t.datatype, t.shape) for t in side] for side in (INPUTS, OUTPUTS)]
    data = onnx_models.build(nodes, *plain)
    return bundles.write(tmp_path_factory.mktemp("sums") / "model", data, SIGNATURE, PROFILE)


def request(number: int, *, swapped: bool = False) -> wire.ModelInferRequest:
    """Return a request of one to three rows that belong to a number."""
    rows = 1 + number % 3
    a = np.arange(2 * rows, dtype=np.float32).reshape(rows, 2) + number
    b = np.full((rows, 1), 1000 * number, np.float32)
    arrays = {"a": ("FP32", a), "b": ("FP32", b)}
    if swapped:
        arrays = dict(reversed(arrays.items()))
    more = {"id": f"call {number}"} if number % 2 else {}
    return raw_request(arrays, **more)


def check(number: int, answer: wire.ModelInferResponse) -> None:
    rows = 1 + number % 3
    total, same = (np.frombuffer(raw, np.float32) for raw in answer.raw_output_contents)
    a = np.arange(2 * rows, dtype=np.float32) + number
    assert total.tolist() == (a + 1000 * number).tolist()
    assert same.tolist() == [1000 * number] * rows
    assert answer.id == (f"call {number}" if number % 2 else "")
    assert [(o.name, list(o.shape)) for o in answer.outputs] == [
        ("sum", [rows, 2]),
        ("same", [rows, 1]),
    ]


@pytest.mark.parametrize("coalesce", [True, False])
async def test_each_call_gets_its_own_rows_back(sums, coalesce):
    roles = (("x-modelyard-role", "canary"),), (("x-modelyard-role", "stable"),)
    async with (
        grpc_serving.served(sums, coalesce=coalesce) as served,
        served.channel() as one,
        served.channel() as other,
    ):
        infer = [method(channel, "ModelInfer") for channel in (one, other)]
        for number in range(6):
            check(number, await infer[0](request(number, swapped=number > 2), metadata=roles[0]))
        numbers = range(6, 306)
        answers = await asyncio.gather(
            *(infer[n % 2](request(n, swapped=n % 5 == 0), metadata=roles[n % 2]) for n in numbers)
        )
        statistics = served.http.inference.statistics
        sketch = served.http.inference.recorder.snapshot(NOON)
        text = served.http.metrics.render().decode()

    for number, answer in zip(numbers, answers, strict=True):
        check(number, answer)
    assert statistics.requests == 306
    assert (statistics.executions < 306) is coalesce
    assert {role: counts.requests for role, counts in sketch.roles.items()} == {
        str(Role.CANARY): 156,
        str(Role.STABLE): 150,
    }
    for role, count in (("canary", 156), ("stable", 150)):
        labels = f'code="200",model="rain",role="{role}",version="1"'
        assert f"modelyard_requests_total{{{labels}}} {count}.0" in text


async def test_each_call_of_a_shared_run_has_a_receipt_of_its_own_content(sums, tmp_path):
    key = b"a signing key of 32 bytes or more"
    (tmp_path / "key").write_bytes(key)
    papers = Receipts(tmp_path / "key", lambda _: None)
    async with grpc_serving.served(sums, papers=papers) as served, served.channel() as channel:
        infer = method(channel, "ModelInfer")

        async def receipt_of(number: int) -> Receipt:
            fields = () if number % 4 else (("x-request-id", f"router {number}"),)
            call = infer(request(number), metadata=fields)
            answer = await call
            check(number, answer)
            text = dict(await call.initial_metadata())[headers.RECEIPT]
            return core.verify(text, [key], b"".join(answer.raw_output_contents))

        for number in range(6):
            await receipt_of(number)
        numbers = range(6, 106)
        found = await asyncio.gather(*map(receipt_of, numbers))
        statistics = served.http.inference.statistics

    for number, receipt in zip(numbers, found, strict=True):
        own = f"call {number}" if number % 2 else ""
        assert receipt.id == (own if number % 4 else f"router {number}")
        assert receipt.scores == (1000.0 * number,) * receipt.rows
        assert receipt.rows == 1 + number % 3
    assert statistics.executions < statistics.requests == 106


async def test_a_client_that_goes_away_takes_nobody_with_it(sums):
    async with grpc_serving.served(sums) as served, served.channel() as staying:
        infer = method(staying, "ModelInfer")
        await infer(request(1))
        for _ in range(10):
            leaving = served.channel()
            calls = [method(leaving, "ModelInfer")(request(n)) for n in range(20)]
            mine = [infer(request(n)) for n in range(20)]
            for call in calls:
                call.cancel()
            await leaving.close()
            for number, answer in enumerate(await asyncio.gather(*mine)):
                check(number, answer)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Return a model that looks ten numbers up, and breaks where there is none."""
    nodes = [helper.make_node("Gather", ["numbers", "place"], ["number"])]
    numbers = helper.make_tensor("numbers", TensorProto.FLOAT, [10], range(0, 100, 10))
    place, number = Tensor("place", "INT64", (-1, 1)), Tensor("number", "FP32", (-1, 1))
    plain = [[(t.name, t.datatype, t.shape)] for t in (place, number)]
    return bundles.write(
        tmp_path_factory.mktemp("table") / "model",
        onnx_models.build(nodes, *plain, [numbers]),
        Signature("Regression", (place,), (number,), score="number"),
        Profile(1, (), (), NumericProfile("number", (0.0,), (0, 1), 0, 0.0, 1.0)),
    )


async def test_a_call_that_breaks_the_model_breaks_no_other(table):
    def asked(place: int) -> wire.ModelInferRequest:
        return raw_request({"place": ("INT64", np.array([[place]], np.int64))})

    async with grpc_serving.served(table) as served, served.channel() as channel:
        infer = method(channel, "ModelInfer")
        await infer(asked(1))
        places = [place % 11 for place in range(110)]
        answers = await asyncio.gather(
            *(infer(asked(place)) for place in places), return_exceptions=True
        )

    for place, answer in zip(places, answers, strict=True):
        if place == 10:
            assert answer.code() is grpc.StatusCode.INTERNAL
        else:
            (raw,) = answer.raw_output_contents
            assert np.frombuffer(raw, np.float32).tolist() == [10 * place]


SHAPES = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 4)), min_size=1, max_size=3)


@settings(deadline=None)
@given(SHAPES, st.text(max_size=5), st.binary(min_size=1, max_size=3), st.integers(0, 400))
def test_what_was_learnt_reads_as_the_message_does(shapes, name, noise, place):
    """However a message differs from the learnt one, the fast reading is the true one, or none."""
    arrays = {
        f"{name}{i}": ("FP32", np.arange(rows * width, dtype=np.float32).reshape(rows, width))
        for i, (rows, width) in enumerate(shapes)
    }
    parsed = raw_request(arrays, id="first")
    reader = RawReader("rain", "1")
    learnt = parsed.SerializeToString()
    reader.learn(learnt, parsed, grpc_messages.request(parsed))
    other = bytearray(raw_request(arrays, id=name).SerializeToString())
    other[place % len(other) : place % len(other) + len(noise)] = noise

    for data in (learnt, bytes(other)):
        reading = reader.read(data)
        if reading is None:
            assert data != learnt
            continue
        true = wire.ModelInferRequest.FromString(data)
        assert (true.id or None) == (reading.id or None)
        assert true.model_name == "rain"
        wanted = [
            (tensor.name, tuple(tensor.shape), raw)
            for tensor, raw in zip(true.inputs, true.raw_input_contents, strict=True)
        ]
        found = [
            (t.name, (reading.plan.rows, *t.tail), reading.data[t.begin : t.end])
            for t in reading.plan.tensors
        ]
        assert [(n, s[1:], r) for n, s, r in wanted] == [(n, s[1:], r) for n, s, r in found]


def test_only_what_is_written_in_the_usual_way_is_learnt():
    plain = raw_request({"a": ("FP32", np.ones((1, 2), np.float32))})
    message = plain.SerializeToString()
    twice = message + wire.ModelInferRequest(id="late").SerializeToString()
    reader = RawReader("rain", "1")

    parsed = wire.ModelInferRequest.FromString(twice)
    reader.learn(twice, parsed, grpc_messages.request(parsed))
    assert reader.read(twice) is None

    reader.learn(message, plain, grpc_messages.request(plain))
    reading = reader.read(message)
    assert reading is not None
    assert grpc_raw.feeds([reading])["a"].tolist() == [[1.0, 1.0]]
    assert bytes(binary.encode("FP32", grpc_raw.feeds([reading, reading])["a"])) == (
        np.ones((2, 2), np.float32).tobytes()
    )
