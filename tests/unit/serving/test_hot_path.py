"""The fast way of a connection: the answers of the slow one, in the order of the requests."""

import asyncio
import json
import re
from datetime import UTC, datetime

import numpy as np
import pytest
import pytest_asyncio
from onnx import TensorProto, helper

from modelyard_core.roles import Role
from support import bundles, hot, onnx_models
from support.hot import request
from support.serving import rows, tensor


def body(temp=(0.5,), **more) -> bytes:
    return json.dumps({"inputs": rows(temp), **more}).encode()


def fast_counts(server) -> tuple[int, int]:
    """Return how many requests were answered, and by how many runs of the model."""
    return server.inference.statistics.requests, server.inference.statistics.executions


@pytest.fixture
async def server(rain_bundle):
    async with hot.hot(rain_bundle, max_rows=64, max_body_bytes=64 * 1024) as served:
        yield served


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(rain_bundle):
    """One server, for tests that look at nothing but answers."""
    async with hot.hot(rain_bundle, max_rows=64, max_body_bytes=64 * 1024) as served:
        yield served


ONE = {"inputs": rows([0.5])}
NORTH = tensor("station", "BYTES", (1, 1), ["north"])
BODIES = {
    "one-row": ONE,
    "eight-rows": {"inputs": rows([i / 8 for i in range(8)])},
    "nine-rows": {"inputs": rows([i / 8 for i in range(9)])},
    "many-rows": {"inputs": rows([i / 64 for i in range(64)])},
    "too-many-rows": {"inputs": rows([0.5] * 65)},
    "no-rows": {"inputs": rows([])},
    "an-id": {"id": "ab-1", **ONE},
    "an-id-with-quotes": {"id": '"\u00e9\n%d', **ONE},
    "no-id": {"id": None, **ONE},
    "a-number-as-id": {"id": 5, **ONE},
    "outputs": {"outputs": [{"name": "label"}], **ONE},
    "unknown-output": {"outputs": [{"name": "x"}], **ONE},
    "parameters": {"parameters": {"a": 1}, **ONE},
    "unknown-field": {"a": 1, **ONE},
    "another-order": {"inputs": rows([0.5])[::-1]},
    "twice": {"inputs": [*rows([0.5]), NORTH]},
    "missing": {"inputs": rows([0.5])[:2]},
    "nested": {"inputs": [tensor("temp", "FP32", (1, 1), [[0.5]]), *rows([0.5])[1:]]},
    "integers": {"inputs": [tensor("temp", "FP32", (1, 1), [2]), *rows([0.5])[1:]]},
    "wide-integer": {"inputs": [tensor("temp", "FP32", (1, 1), [2**70]), *rows([0.5])[1:]]},
    "out-of-range": {"inputs": [tensor("temp", "FP32", (1, 1), [1e39]), *rows([0.5])[1:]]},
    "a-boolean": {"inputs": [tensor("temp", "FP32", (1, 1), [True]), *rows([0.5])[1:]]},
    "a-null": {"inputs": [tensor("temp", "FP32", (1, 1), [None]), *rows([0.5])[1:]]},
    "a-text": {"inputs": [tensor("temp", "FP32", (1, 1), ["1"]), *rows([0.5])[1:]]},
    "too-few": {"inputs": [tensor("temp", "FP32", (1, 1), []), *rows([0.5])[1:]]},
    "too-much": {"inputs": [tensor("temp", "FP32", (1, 1), [1.0, 2.0]), *rows([0.5])[1:]]},
    "unlike-rows": {"inputs": [*rows([0.5])[:2], tensor("station", "BYTES", (2, 1), ["a", "b"])]},
    "another-shape": {"inputs": [tensor("temp", "FP32", (1,), [1.0]), *rows([0.5])[1:]]},
    "a-size-as-float": {"inputs": [tensor("temp", "FP32", (1, 1.0), [1.0]), *rows([0.5])[1:]]},
    "negative-size": {"inputs": [tensor("temp", "FP32", (-1, 1), [1.0]), *rows([0.5])[1:]]},
    "another-type": {"inputs": [tensor("temp", "FP64", (1, 1), [1.0]), *rows([0.5])[1:]]},
    "text-with-accents": {"inputs": rows([0.5], station=["Zürich \u2603"])},
    "an-array": [],
    "a-string": "x",
}
RAW_BODIES = {
    "empty": b"",
    "no-json": b"{",
    "not-utf-8": json.dumps({"inputs": rows([0.5], station=["north"])})
    .encode()
    .replace(b"north", b"\xff"),
    "key-twice": b'{"id":"a","id":"b",' + json.dumps(ONE).encode()[1:],
    "data-twice": json.dumps(ONE)
    .encode()
    .replace(b'"data": [0.5]', b'"data": [9.5], "data": [0.5]'),
    "minus-zero": json.dumps(ONE).encode().replace(b"[0.5]", b"[-0]"),
    "byte-order-mark": b"\xef\xbb\xbf" + json.dumps(ONE).encode(),
    "spaces": b" \n" + json.dumps(ONE).encode() + b"\t ",
    "rest": json.dumps(ONE).encode() + b"x",
    "large-and-spaced": json.dumps(ONE).encode() + b" " * 4000,
}
ALL = {name: json.dumps(value).encode() for name, value in BODIES.items()} | RAW_BODIES
FIELDS = {
    "plain": (),
    "gzip": ("accept-encoding: gzip, deflate",),
    "role": ("x-modelyard-role: canary",),
    "ids": ("x-request-id: 4f-9", "traceparent: 00-1-2-01"),
}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("fields", FIELDS.values(), ids=FIELDS)
@pytest.mark.parametrize("content", ALL.values(), ids=ALL)
async def test_both_ways_give_the_same_answer_to_the_byte(shared, content, fields):
    (slow,) = await shared.converse(hot.chunked(content, *fields))
    (fast,) = await shared.converse(request(content, *fields))

    assert fast == slow


async def test_the_usual_requests_take_the_fast_way(server):
    usual = ("one-row", "eight-rows", "nine-rows", "an-id", "outputs", "parameters", "nested")
    for name in usual:
        connection = server.connect()
        connection.data_received(request(ALL[name]))
        (answer,) = await server.answers(connection, 1)

        assert (answer.status, connection.is_slow) == (200, False), name


async def test_a_request_may_be_cut_anywhere(server):
    data = request(body([0.25], id="1"), "x-request-id: a") + request(body([0.75], id="2"))
    whole = await server.converse(data)

    for first, second in hot.cuts(data):
        connection = server.connect()
        connection.data_received(first)
        await asyncio.sleep(0)
        connection.data_received(second)
        assert await server.answers(connection, 2) == whole


async def test_a_request_may_come_byte_by_byte(server):
    data = request(body([0.25])) + hot.chunked(body([0.5])) + request(body([0.75]))

    answers = await server.converse(*(data[i : i + 1] for i in range(len(data))), turns=True)

    assert [answer.status for answer in answers] == [200] * 3


async def test_answers_come_in_the_order_of_the_requests_whatever_way_they_take(server):
    kinds = [
        lambda i: request(body([i / 50], id=str(i))),
        lambda i: hot.chunked(body([i / 50], id=str(i))),
        lambda i: request(body([i / 50] * 9, id=str(i))),
        lambda i: request(body([i / 50], id=str(i), parameters={"a": 1})),
        lambda i: request(body([i / 50] * 20, id=str(i)) + b" " * 3000),
        lambda i: request(b'{"id":"%d"' % i),
    ]
    dice = np.random.default_rng(7)
    chosen = [int(dice.integers(len(kinds))) for _ in range(60)]
    data = b"".join(kinds[kind](i) for i, kind in enumerate(chosen))
    connection = server.connect()
    for piece in np.array_split(np.frombuffer(data, np.uint8), 17):
        connection.data_received(piece.tobytes())
        for _ in range(int(dice.integers(4))):
            await asyncio.sleep(0)

    answers = await server.answers(connection, len(chosen))

    assert len(answers) == len(chosen)
    for i, (kind, answer) in enumerate(zip(chosen, answers, strict=True)):
        said = json.loads(answer.body)
        assert said.get("id", "error" in said and str(i)) == str(i)
        assert answer.status == (400 if kind == 5 else 200)


H2C = ("connection: Upgrade, HTTP2-Settings", "upgrade: h2c", "http2-settings: AAMAAABkAAQ")


async def test_an_offer_of_http_2_is_ignored_and_the_request_answered(server):
    content = body([0.25])
    (plain,) = await server.converse(request(content))

    connection = server.connect()
    connection.data_received(request(content, *H2C) * 3)
    assert await server.answers(connection, 3) == [plain] * 3
    assert await server.converse(hot.chunked(content, *H2C)) == [plain]


@pytest.mark.parametrize(
    "fields",
    [
        ("connection: upgrade", "upgrade: websocket"),
        ("connection: upgrade, transfer-encoding", "upgrade: h2c"),
        ("connection: upgrade", "upgrade: h2c", "upgrade: h2c"),
        ("connection: upgrade, close", "upgrade: h2c"),
    ],
)
async def test_another_offer_with_a_body_is_refused(server, fields):
    (answer,) = await server.converse(request(body(), *fields))

    assert (answer.status, answer.closes) == (400, True)


async def test_probes_come_in_their_turn(server):
    probe = b"GET /v2/health/live HTTP/1.1\r\nhost: rain\r\n\r\n"
    answers = await server.converse(request(body()) + probe + request(b"{") + probe)

    assert [answer.status for answer in answers] == [200, 200, 400, 200]
    assert answers[1].body == answers[3].body == b'{"live":true}'


@pytest.mark.parametrize(
    "path",
    [
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/rain/ready",
        "/v2/models/rain/versions/1/ready",
    ],
)
async def test_probes_say_what_the_application_says(server, path):
    plain = f"GET {path} HTTP/1.1\r\nhost: rain\r\n".encode()
    (fast,) = await server.converse(plain + b"\r\n")
    (slow,) = await server.converse(plain + b"te: trailers\r\n\r\n")

    assert fast == slow
    server.gate.drain()
    (late,) = await server.converse(plain + b"\r\n")
    assert late.status == (200 if path.endswith("live") else 503)


@pytest.mark.parametrize(
    "fast",
    [
        request(body()),
        b"GET /v2/health/ready HTTP/1.1\r\nhost: rain\r\n\r\n",
        b"GET /v2/models/rain/ready HTTP/1.1\r\nhost: rain\r\n\r\n",
        b"GET /v2/health/live HTTP/1.1\r\nhost: rain\r\n\r\n",
    ],
)
async def test_before_there_is_a_model_both_ways_say_so(server, fast):
    server.close_gate()
    slow = fast.replace(b"host: rain", b"host: rain\r\nte: trailers")

    answers = await server.converse(fast + fast)

    assert answers == 2 * await server.converse(slow)
    if fast.startswith(b"POST"):
        counted = server.metrics.render().decode()
        assert 'requests_total{code="503",model="rain",role="direct",version="1"} 3.0' in counted
        assert 'rejected_total{reason="NotReady"} 3.0' in counted


async def test_what_arrives_together_runs_together_and_each_gets_its_own_answer(server):
    temps = np.linspace(-3, 3, 64)
    connections = [server.connect() for _ in temps]
    for connection, temp in zip(connections, temps, strict=True):
        connection.data_received(request(body([float(temp)]), f"x-request-id: {temp}"))
    for connection, temp in zip(connections, temps, strict=True):
        (answer,) = await server.answers(connection, 1)
        label, probabilities = json.loads(answer.body)["outputs"]
        expected = 1 / (1 + np.exp(-(temp + 0.15 + 1)))
        assert probabilities["data"][1] == pytest.approx(expected, abs=1e-6)
        assert label["data"] == [int(expected > 0.5)]

    requests, runs = fast_counts(server)
    assert requests == 64
    assert runs < 8


async def test_requests_of_several_rows_and_roles_are_counted_exactly(server):
    asked = [(1, "stable"), (3, "canary"), (2, "stable"), (8, ""), (1, "canary"), (9, "stable")]
    connections = [server.connect() for _ in asked]
    for connection, (count, role) in zip(connections, asked, strict=True):
        field = (f"x-modelyard-role: {role}",) if role else ()
        connection.data_received(request(body([0.5] * count), *field))
    for connection in connections:
        await server.answers(connection, 1)

    roles = server.inference.recorder.snapshot(datetime(2026, 1, 1, tzinfo=UTC)).roles
    text = server.metrics.render().decode()

    assert {name: (seen.requests, seen.rows) for name, seen in roles.items()} == {
        "canary": (2, 4), "direct": (1, 8), "stable": (3, 12),
    }  # fmt: skip
    for role, (requests, count) in {"canary": (2, 4), "direct": (1, 8), "stable": (3, 12)}.items():
        assert (
            f'requests_total{{code="200",model="rain",role="{role}",version="1"}} {requests}.0'
            in text
        )
        assert f'rows_total{{model="rain",role="{role}",version="1"}} {count}.0' in text
        assert f'seconds_count{{model="rain",role="{role}",version="1"}} {requests}.0' in text


async def test_without_coalescing_each_request_has_a_run_of_its_own(rain_bundle):
    async with hot.hot(rain_bundle, coalesce=False) as server:
        answers = await server.converse(request(body()) * 5)

        assert [answer.status for answer in answers] == [200] * 5
        assert fast_counts(server) == (5, 5)


def picking_bundle(folder):
    """Write a model that breaks on an index that is too large."""
    table = helper.make_tensor("table", TensorProto.FLOAT, [3], [10.0, 20.0, 30.0])
    io = [("x", "INT64", (-1,))], [("y", "FP32", (-1,))]
    data = onnx_models.build([helper.make_node("Gather", ["table", "x"], ["y"])], *io, [table])
    signature = onnx_models.echo_signature("FP32", (-1,))
    signature = type(signature)(
        signature.task,
        (type(signature.inputs[0])("x", "INT64", (-1,)),),
        signature.outputs,
        score="y",
    )
    return bundles.write(folder / "model", data, signature, onnx_models.EMPTY_PROFILE)


async def test_a_request_that_breaks_the_model_takes_no_other_down(tmp_path):
    def ask(index):
        return request(json.dumps({"inputs": [tensor("x", "INT64", (1,), [index])]}).encode())

    async with hot.hot(picking_bundle(tmp_path)) as server:
        assert server.model.joins
        connections = [server.connect() for _ in range(4)]
        for connection, index in zip(connections, (0, 7, 2, 1), strict=True):
            connection.data_received(ask(index))
        answers = [(await server.answers(connection, 1))[0] for connection in connections]

    assert [answer.status for answer in answers] == [200, 500, 200, 200]
    assert [json.loads(a.body)["outputs"][0]["data"] for a in answers if a.status == 200] == [
        [10.0], [30.0], [20.0],
    ]  # fmt: skip


async def test_requests_share_no_run_where_rows_feel_each_other(tmp_path):
    async with hot.hot(bundles.averaging(tmp_path)) as server:
        one = json.dumps({"inputs": [tensor(shape=(1, 2), data=[4, 5])]}).encode()
        answers = await server.converse(request(one) * 3)

        assert not server.model.joins
        assert [json.loads(a.body)["outputs"][0]["data"] for a in answers] == [[0.0, 0.0]] * 3
        assert fast_counts(server) == (3, 3)


async def test_a_client_that_does_not_read_is_not_read_from(server):
    connection = server.connect()
    connection.pause_writing()
    connection.data_received(request(body()))
    connection.data_received(request(body()))
    await asyncio.sleep(0)

    assert connection.transport.written == b""
    assert not connection.transport.reads
    connection.resume_writing()
    assert len(await server.answers(connection, 2)) == 2
    assert connection.transport.reads


async def test_a_packet_of_many_requests_is_taken_in_parts(rain_bundle):
    async with hot.hot(rain_bundle, max_pipelined=8) as server:
        connection = server.connect()
        connection.data_received(request(body()) * 100)

        assert not connection.transport.reads
        assert len(await server.answers(connection, 100)) == 100
        assert connection.transport.reads


async def test_a_closing_server_answers_what_it_has_begun_to_read(server):
    data = request(body())
    connection = server.connect()
    connection.data_received(data + data[:-5])
    connection.shutdown()
    connection.data_received(data[-5:])

    answers = await server.answers(connection, 2)

    assert [answer.status for answer in answers] == [200, 200]
    assert [answer.closes for answer in answers] == [False, True]
    idle = server.connect()
    idle.shutdown()
    assert idle.transport.is_closing()


async def test_a_client_that_has_gone_costs_the_others_nothing(server):
    gone, stays = server.connect(), server.connect()
    gone.data_received(request(body()))
    stays.data_received(request(body()))
    gone.transport.close()

    assert len(await server.answers(stays, 1)) == 1
    assert gone.transport.written == b""


async def test_roles_are_told_apart_by_the_router_s_header(server):
    await server.converse(request(body(), "x-modelyard-role: shadow"))

    assert set(server.metrics.counts.roles) == {Role.SHADOW}
    assert re.search(rb'requests_total\{code="200".*role="shadow"', server.metrics.render())
