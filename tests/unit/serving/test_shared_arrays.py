"""Requests of every form that arrive together share runs, and feel nothing of each other."""

import dataclasses
import gzip
import json
from datetime import UTC, datetime

import numpy as np
import pytest
import pytest_asyncio
from onnx import TensorProto, helper

from modelyard_core import receipts as core
from modelyard_serving import coalescing
from modelyard_serving.receipts import Receipts
from support import bundles, hot, onnx_models, picking
from support.picking import FORMS, WISHES, in_binary, in_json
from support.secret_mount import SecretMount

KEY = b"a-key-of-at-least-32-bytes-......"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
CLIENTS = 32
STATS = b"GET /v2/models/rain/stats HTTP/1.1\r\nhost: rain\r\n\r\n"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return picking.bundle(tmp_path_factory.mktemp("picking"))


@pytest.fixture
async def server(bundle):
    async with hot.hot(bundle, max_rows=300) as served:
        yield served


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(bundle):
    """One server, for tests that look at nothing but answers and new runs."""
    async with hot.hot(bundle, max_rows=300, max_connections=10_000) as served:
        yield served


async def together(server, requests):
    """Return the answers to requests that come in one turn, each on a connection of its own."""
    connections = [server.connect() for _ in requests]
    for connection, data in zip(connections, requests, strict=True):
        connection.data_received(data)
    answers = [await server.answers(connection, 1) for connection in connections]
    assert {len(each) for each in answers} == {1}
    return [answer for (answer,) in answers]


async def alone(server, requests):
    """Return the answers to requests that come one after the other."""
    return [(await server.converse(data))[0] for data in requests]


async def counts(server):
    """Return how many rows were answered, in how many requests, by how many runs."""
    (answer,) = await server.converse(STATS)
    (stats,) = json.loads(answer.body)["model_stats"]
    requests = stats["inference_stats"]["success"]["count"]
    return np.array([stats["inference_count"], requests, stats["execution_count"]])


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("wish", WISHES)
@pytest.mark.parametrize("form", ["large", "binary", "more-binary"])
async def test_requests_of_one_form_share_runs_and_each_gets_its_own_answer(shared, form, wish):
    def asked(how):
        return [FORMS[form](i, **WISHES[wish], form=how) for i in range(CLIENTS)]

    assert shared.model.joins
    before = await counts(shared)
    answers = await together(shared, asked(hot.request))
    _, requests, runs = await counts(shared) - before

    assert requests == CLIENTS
    assert runs <= CLIENTS * 3 // 4
    assert {answer.status for answer in answers} == {200}
    assert answers == await alone(shared, asked(hot.chunked))


@pytest.mark.asyncio(loop_scope="module")
async def test_one_row_in_binary_from_each_of_many_clients_is_a_few_runs(shared):
    before = await counts(shared)
    await together(shared, [FORMS["binary"](i) for i in range(200)])
    rows, requests, runs = await counts(shared) - before

    assert (rows, requests) == (200, 200)
    assert runs < 20


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("seed", range(6))
async def test_all_forms_in_one_turn_get_the_answers_that_each_gets_alone(shared, seed):
    before = await counts(shared)
    answers = await together(shared, picking.drawn(seed, CLIENTS))
    _, requests, runs = await counts(shared) - before

    assert requests == CLIENTS
    assert runs < CLIENTS
    assert {answer.status for answer in answers} == {200}
    assert answers == await alone(shared, picking.drawn(seed, CLIENTS, form=hot.chunked))


@pytest.mark.asyncio(loop_scope="module")
async def test_different_wishes_share_a_run(shared):
    requests = [FORMS["binary"](i, **wish) for i, wish in enumerate(WISHES.values())]
    before = await counts(shared)
    answers = await together(shared, requests)
    _, _, runs = await counts(shared) - before

    assert runs == 1
    assert answers == await alone(shared, requests)


def document(answer):
    """Return the JSON part of an answer of whatever form."""
    length = answer.headers.get("inference-header-content-length", len(answer.body))
    return json.loads(answer.body[: int(length)])


async def test_one_with_so_many_rows_that_it_may_go_to_a_thread_shares_its_run_with_nobody(
    server, monkeypatch
):
    pace = server.model.pace
    monkeypatch.setattr(pace, "observe", lambda *_: None)
    monkeypatch.setattr(pace, "rows_in_time", 100)
    monkeypatch.setattr(pace, "rows_together", 1000)
    sizes = [100, 60, 101, 60, 300, 299, *[100] * 10, 1]
    requests = [in_binary(picking.rows(i, size), id=str(i)) for i, size in enumerate(sizes)]
    before = await counts(server)

    answers = await together(server, requests)

    assert [answer.status for answer in answers] == [200] * len(sizes)
    runs = [[100, 60], [101], [60], [300], [299], [100] * 10, [1]]
    assert (await counts(server) - before).tolist() == [sum(sizes), len(sizes), len(runs)]


SLOW = {
    "an-error": lambda i: hot.request(b'{"id":"%d"' % i),
    "chunked": lambda i: in_json(picking.rows(i), id=str(i), form=hot.chunked),
    "chunked-binary": lambda i: in_binary(picking.rows(i), id=str(i), form=hot.chunked),
    "nan-in-json": lambda i: in_json(np.array([[-1, 1]], np.float32), id=str(i)),
    "nan-from-binary": lambda i: in_binary(np.array([[-1, 1]] * 9, np.float32), id=str(i)),
    "breaks-the-model": lambda i: in_binary(np.array([[1, 3]], np.float32), id=str(i)),
    "over-the-limit": lambda i: in_binary(picking.rows(i, 301), id=str(i)),
    "no-such-output": lambda i: in_binary(picking.rows(i), id=str(i), outputs=[{"name": "x"}]),
}
FAST = {
    "small": lambda i: in_json(picking.rows(i), id=str(i)),
    "large": lambda i: in_json(picking.rows(i, 120), id=str(i)),
    "binary": lambda i: in_binary(picking.rows(i), id=str(i)),
    "all-binary": lambda i: in_binary(picking.rows(i), id=str(i), **WISHES["binary"]),
    "part": lambda i: in_json(picking.rows(i, 2), id=str(i), **WISHES["part"]),
}
OK_SLOW = ("chunked", "chunked-binary")


def check_order(kinds, answers):
    """Check that answers came in the order of the requests that were numbered as they came."""
    assert [answer.status == 200 for answer in answers] == [
        kind in FAST or kind in OK_SLOW for kind in kinds
    ]
    for number, answer in enumerate(answers):
        assert answer.status != 200 or document(answer)["id"] == str(number)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("slow", SLOW)
async def test_what_was_asked_before_one_that_goes_the_slow_way_is_answered_first(shared, slow):
    kinds = [*FAST, *FAST, slow, *FAST, slow, *FAST]
    every = {**FAST, **SLOW}
    requests = [every[kind](number) for number, kind in enumerate(kinds)]
    one, pieces = shared.connect(), shared.connect()
    one.data_received(b"".join(requests))
    for data in requests:
        pieces.data_received(data)

    check_order(kinds, await shared.answers(one, len(kinds)))
    check_order(kinds, await shared.answers(pieces, len(kinds)))


@pytest.mark.parametrize("send_seconds", [0.0, 1000.0])
@pytest.mark.parametrize("turn_seconds", [0.0, 1000.0])
async def test_however_little_time_there_is_all_are_answered_in_order(
    server, monkeypatch, send_seconds, turn_seconds
):
    """One run in each turn, or all in one; each run's answers sent at once, or those of all."""
    monkeypatch.setattr(coalescing, "SEND_SECONDS", send_seconds)
    monkeypatch.setattr(coalescing, "TURN_SECONDS", turn_seconds)
    every = {**FAST, **SLOW}
    kinds = [*FAST, *FAST, "nan-in-json", *FAST, "chunked", *FAST, "an-error", *FAST]
    connections = [server.connect() for _ in range(6)]
    for number, kind in enumerate(kinds):
        for connection in connections:
            connection.data_received(every[kind](number))

    for connection in connections:
        check_order(kinds, await server.answers(connection, len(kinds)))


async def test_more_than_may_wait_of_all_forms_waits_in_the_connections(bundle):
    async with hot.hot(bundle, max_pipelined=64) as server:
        kinds = [*FAST] * 13
        connections = [server.connect() for _ in range(20)]
        for connection in connections:
            connection.data_received(b"".join(FAST[kind](i) for i, kind in enumerate(kinds)))
        assert len(server.coalescer.waiting) <= coalescing.MAX_WAITING + 64
        assert not all(connection.transport.reads for connection in connections)

        for connection in connections:
            check_order(kinds, await server.answers(connection, len(kinds)))
            assert connection.transport.reads


def watched(protocol, seen):
    """Return connections that tell how many answers had been sent when they went the slow way."""

    def hand_over(self, data):
        seen.append(self.transport.written.count(b"HTTP/1.1 200"))
        protocol.hand_over(self, data)

    return type("Watched", (protocol,), {"hand_over": hand_over})


@pytest.mark.parametrize("slow", [kind for kind in SLOW if kind not in OK_SLOW])
async def test_answers_that_wait_for_others_are_sent_before_a_connection_goes_the_slow_way(
    server, slow
):
    seen = []
    server.protocol = watched(server.protocol, seen)
    kinds = [*FAST, slow]
    connection = server.connect()
    connection.data_received(
        b"".join({**FAST, **SLOW}[kind](number) for number, kind in enumerate(kinds))
    )

    check_order(kinds, await server.answers(connection, len(kinds)))
    assert seen == [len(FAST)]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("seed", range(8))
async def test_pipelined_requests_of_all_forms_are_answered_in_order_on_every_connection(
    shared, seed
):
    dice = np.random.default_rng(seed)
    every = {**FAST, **FAST, **SLOW}
    plans = [dice.choice(list(every), int(dice.integers(1, 12))).tolist() for _ in range(8)]
    connections = [shared.connect() for _ in plans]
    begun = [0] * len(plans)
    while left := [at for at, plan in enumerate(plans) if begun[at] < len(plan)]:
        at = int(dice.choice(left))
        size = int(dice.integers(1, 4))
        numbers = range(begun[at], min(begun[at] + size, len(plans[at])))
        connections[at].data_received(b"".join(every[plans[at][i]](i) for i in numbers))
        begun[at] = numbers.stop

    for connection, plan in zip(connections, plans, strict=True):
        check_order(plan, await shared.answers(connection, len(plan)))


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("bad", [kind for kind in SLOW if kind not in OK_SLOW])
async def test_a_request_that_cannot_be_answered_takes_no_other_down(shared, bad):
    requests = [FAST[kind](number) for number, kind in enumerate([*FAST] * 4)]
    requests[7:7] = requests[13:13] = [SLOW[bad](0)]

    answers = await together(shared, requests)

    assert [at for at, answer in enumerate(answers) if answer.status != 200] == [7, 13]
    assert answers == await alone(shared, requests)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_request_of_too_many_rows_is_refused_and_one_of_many_runs_alone(shared):
    sizes = (1, 300, 5, 301, 1, 256, 255)
    before = await counts(shared)
    answers = await together(shared, [in_binary(picking.rows(i, i)) for i in sizes])
    rows, requests, _ = await counts(shared) - before

    assert [answer.status for answer in answers] == [200, 200, 200, 413, 200, 200, 200]
    assert (rows, requests) == (sum(sizes) - 301, 6)
    assert answers == await alone(shared, [in_binary(picking.rows(i, i)) for i in sizes])


EMPTY = picking.rows(0, 0)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("wish", WISHES)
async def test_a_request_without_rows_is_answered_among_others_as_alone(shared, wish):
    def asked(how):
        return [
            in_binary(picking.rows(1), form=how, **WISHES[wish]),
            in_binary(EMPTY, form=how, **WISHES[wish]),
            in_json(picking.rows(2, 120), form=how, **WISHES[wish]),
            in_json(EMPTY, form=how, **WISHES[wish]),
            in_binary(EMPTY, form=how, **WISHES[wish]),
        ]

    answers = await together(shared, asked(hot.request))

    assert {answer.status for answer in answers} == {200}
    assert answers == await alone(shared, asked(hot.chunked))


def doubling(folder):
    """Write a model that looks at its first row, whatever the others: so it takes no empty batch."""
    nodes = [
        helper.make_node("Gather", ["x", "first"], ["row"], axis=0),
        helper.make_node("Mul", ["row", "nothing"], ["zero"]),
        helper.make_node("Add", ["x", "zero"], ["y"]),
    ]
    first = helper.make_tensor("first", TensorProto.INT64, [1], [0])
    nothing = helper.make_tensor("nothing", TensorProto.FLOAT, [1], [0.0])
    io = ("FP32", (-1, 2))
    data = onnx_models.build(nodes, [("x", *io)], [("y", *io)], [first, nothing])
    signature = onnx_models.echo_signature(*io)
    return bundles.write(folder / "model", data, signature, onnx_models.EMPTY_PROFILE)


async def test_a_request_without_rows_is_refused_among_others_as_alone(tmp_path):
    async with hot.hot(doubling(tmp_path)) as server:
        assert server.model.joins
        full = [in_binary(picking.rows(i, 3)) for i in range(3)]
        answers = await together(server, [full[0], in_binary(EMPTY), *full[1:], in_binary(EMPTY)])

    assert [answer.status for answer in answers] == [200, 400, 200, 200, 400]


async def test_without_coalescing_each_request_has_a_run_of_its_own(bundle):
    async with hot.hot(bundle, coalesce=False) as server:
        answers = await together(server, picking.drawn(1, CLIENTS))
        _, requests, runs = await counts(server)

        assert (requests, runs) == (CLIENTS, CLIENTS)
        assert answers == await alone(server, picking.drawn(1, CLIENTS, form=hot.chunked))


async def test_requests_share_no_run_where_rows_feel_each_other(tmp_path):
    async with hot.hot(bundles.averaging(tmp_path)) as server:
        answers = await together(server, [in_binary(picking.rows(i)) for i in range(8)])
        _, requests, runs = await counts(server)

        assert not server.model.joins
        assert (requests, runs) == (8, 8)
    assert {str(document(answer)["outputs"][0]["data"]) for answer in answers} == {"[0.0, 0.0]"}


async def test_the_sketch_and_the_counts_are_those_of_requests_that_came_alone(bundle):
    async with hot.hot(bundle) as one, hot.hot(bundle, coalesce=False) as other:
        for seed in range(4):
            await together(one, picking.drawn(seed, 48))
            await alone(other, picking.drawn(seed, 48))
        found, wanted = (server.inference.recorder.snapshot(NOON).roles for server in (one, other))

        assert set(found) == {"stable", "canary", "shadow"}
        assert sum(seen.requests for seen in found.values()) == 4 * 48
        assert found == wanted
        assert one.inference.statistics.executions < other.inference.statistics.executions
        for role, seen in one.metrics.counts.roles.items():
            same = other.metrics.counts.roles[role]
            assert (seen.answered, seen.rows) == (same.answered, same.rows)


async def test_the_answers_that_are_kept_are_those_of_requests_that_came_alone(bundle):
    async with hot.hot(bundle) as one, hot.hot(bundle, coalesce=False) as other:
        await together(one, picking.drawn(3, 48))
        await alone(other, picking.drawn(3, 48))

        found, wanted = (kept(server) for server in (one, other))
        assert len(found) > 30
        assert found == wanted


def kept(server):
    """Return the answers that were kept, by their ids."""
    page = server.inference.recorder.answers(NOON, "", 1000)
    return {each.id: dataclasses.replace(each, at=NOON) for each in page.answers}


@pytest.fixture
async def signing(bundle, tmp_path):
    secret = SecretMount(tmp_path / "receipts")
    secret.put(key=KEY)
    papers = Receipts(secret.folder / "key", lambda _: None)
    async with hot.hot(bundle, papers=papers) as served:
        yield served


def receipt_of(answer):
    """Return an answer's receipt, the time set to another."""
    packed = answer.headers.get("content-encoding") == "gzip"
    content = gzip.decompress(answer.body) if packed else answer.body
    receipt = core.verify(answer.headers["x-modelyard-receipt"], [KEY], content)
    return dataclasses.replace(receipt, at=NOON)


async def test_each_answer_of_a_shared_run_has_the_receipt_of_its_own_content(signing):
    answers = await together(signing, picking.drawn(5, CLIENTS))
    runs = signing.inference.statistics.executions
    wanted = await alone(signing, picking.drawn(5, CLIENTS, form=hot.chunked))

    assert runs < CLIENTS
    assert [receipt_of(answer) for answer in answers] == [receipt_of(answer) for answer in wanted]
    assert [answer.body for answer in answers] == [answer.body for answer in wanted]
    assert len({receipt_of(answer).content for answer in answers}) == CLIENTS
