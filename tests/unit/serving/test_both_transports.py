"""Right and wrong requests in every form over HTTP and gRPC at the same time: each is counted once."""

import asyncio
import json
from collections import Counter
from dataclasses import replace

import grpc
import grpc.aio
import numpy as np
import pytest

from modelyard_serving.grpc_wire import inference_pb2 as wire
from support import bundles, grpc_serving, onnx_models, serving
from support.serving import INFER, tensor

CLIENTS = 6
ASKED = 30
ROLES = ("stable", "canary", "direct")
INVALID = grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """A model of two numbers a row, both of which are sketched."""
    first, second = onnx_models.RAIN_PROFILE.numeric
    profile = replace(
        onnx_models.RAIN_PROFILE,
        numeric=(replace(first, input="x", index=0), replace(second, input="x", index=1)),
        categories=(),
    )
    folder = tmp_path_factory.mktemp("pairs") / "model"
    io = ("FP32", (-1, 2))
    return bundles.write(folder, onnx_models.echo(*io), onnx_models.echo_signature(*io), profile)


def draw(dice) -> tuple[np.ndarray, str, bool]:
    """Draw rows, a role, and whether the request is to be a right one."""
    count = int(dice.choice([1, 1, 1, 2, 9, 300]))
    return dice.normal(size=(count, 2)).astype("f4"), str(dice.choice(ROLES)), dice.random() > 0.2


def http_form(dice, rows, *, right: bool) -> tuple[bytes, dict[str, str]]:
    """Return a body and its headers: JSON, or JSON and a binary tensor."""
    shape = (len(rows), 2 if right else 3)
    if dice.integers(2):
        return json.dumps(
            {"inputs": [tensor(shape=shape, data=rows.ravel().tolist())]}
        ).encode(), {}
    described = tensor(shape=shape, parameters={"binary_data_size": rows.nbytes})
    del described["data"]
    head = json.dumps({"inputs": [described]}).encode()
    return head + rows.tobytes(), {"inference-header-content-length": str(len(head))}


def grpc_form(dice, rows, *, right: bool) -> wire.ModelInferRequest:
    """Return a call: raw, or of typed contents."""
    shape = (len(rows), 2 if right else 3)
    described = wire.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=shape)
    raw = [rows.tobytes()]
    if dice.integers(2):
        raw = []
        described.contents.fp32_contents.extend(rows.ravel())
    return wire.ModelInferRequest(model_name="rain", inputs=[described], raw_input_contents=raw)


async def in_pieces(body: bytes):
    yield body


async def over_http(program, seed: int) -> Counter[tuple[str, str]]:
    dice = np.random.default_rng(seed)
    seen: Counter[tuple[str, str]] = Counter()
    async with program.client() as http:
        for _ in range(ASKED):
            rows, role, right = draw(dice)
            body, headers = http_form(dice, rows, right=right)
            content = in_pieces(body) if dice.integers(4) == 0 else body
            headers["x-modelyard-role"] = role
            answer = await http.post(INFER, content=content, headers=headers)
            assert answer.status_code == (200 if right else 400), answer.text
            count(seen, role, rows, right=right)
    return seen


async def over_grpc(port: int, seed: int) -> Counter[tuple[str, str]]:
    dice = np.random.default_rng(seed)
    seen: Counter[tuple[str, str]] = Counter()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", grpc_serving.LONE) as channel:
        infer = grpc_serving.method(channel, "ModelInfer")
        for _ in range(ASKED):
            rows, role, right = draw(dice)
            call = infer(grpc_form(dice, rows, right=right), metadata=(("x-modelyard-role", role),))
            assert await call.code() is (grpc.StatusCode.OK if right else INVALID)
            count(seen, role, rows, right=right)
    return seen


def count(seen: Counter[tuple[str, str]], role: str, rows, *, right: bool) -> None:
    if right:
        seen.update({(role, "rows"): len(rows), (role, "requests"): 1})
    else:
        seen[role, "wrong"] += 1


@pytest.mark.slow
async def test_everything_is_counted_once_whatever_way_it_took(pairs):
    with serving.program(pairs, GRPC_PORT=0) as program:
        await asyncio.to_thread(program.wait_for, "ready: rain version 1")
        port = grpc_serving.port_of(program)
        asked = [over_http(program, seed) for seed in range(CLIENTS)]
        asked += [over_grpc(port, CLIENTS + seed) for seed in range(CLIENTS)]
        sent = sum(await asyncio.gather(*asked), Counter())
        async with program.client() as http:
            sketch = (await http.get("/v1/sketch")).json()["roles"]
            stats = (await http.get("/v2/models/rain/stats")).json()["model_stats"][0]

    for role in ROLES:
        found, wanted = sketch[role], sent[role, "rows"]
        assert (found["rows"], found["requests"]) == (wanted, sent[role, "requests"])
        columns = [*found["features"].values(), found["prediction"]]
        assert [sum(each["bins"]) for each in columns] == [wanted] * 3
    ends = stats["inference_stats"]
    assert stats["inference_count"] == sum(sent[role, "rows"] for role in ROLES)
    assert ends["success"]["count"] == sum(sent[role, "requests"] for role in ROLES)
    assert ends["fail"]["count"] == sum(sent[role, "wrong"] for role in ROLES)
