"""What comes after the first request of a turn: taken with less looking, answered the same."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from modelyard_serving import coalescing
from modelyard_serving.access import Keys
from support import hot
from support.hot import request
from support.serving import rows, tensor

PROBE = b"GET /v2/health/live HTTP/1.1\r\nhost: rain\r\n\r\n"


def body(temp=(0.5,), **more) -> bytes:
    return json.dumps({"inputs": rows(temp), **more}).encode()


PLAIN = request(body())
AMONG_OTHERS = {
    "plain": PLAIN,
    "versioned": request(body(), path="/v2/models/rain/versions/1/infer"),
    "with-ids": request(body(id="own"), "x-request-id: 4f-9", "traceparent: 00-1-2-01"),
    "several-rows": request(body([0.1, 0.2, 0.3])),
    "many-rows": request(body([0.1] * 40)),
    "large": request(body() + b" " * 5000),
    "large-for-a-thread": request(body() + b" " * 70_000),
    "over-the-limit": request(body([0.1] * 65)),
    "no-json": request(b"{"),
    "not-utf-8": request(body().replace(b"north", b"\xff")),
    "no-tensor": request(b'{"inputs": []}'),
    "a-wrong-size": request(json.dumps({"inputs": [tensor("temp", "FP32", (2, 1), [1.0])]}).encode()),
    "a-negative-size": request(body().replace(b"[1, 1]", b"[-1, 1]", 1)),
    "too-large-a-number": request(body([1e39])),
    "binary": request(body(), f"inference-header-content-length: {len(body())}"),
    "chunked": hot.chunked(body()),
    "two": PLAIN + request(body([0.75], id="2")),
    "a-probe": PROBE,
    "a-probe-and-more": PROBE + PLAIN,
    "another-model": request(body(), path="/v2/models/snow/infer"),
    "an-offer": request(body(), "connection: upgrade, http2-settings", "upgrade: h2c"),
    "smuggled": request(body(), "transfer-encoding: chunked"),
    "no-http": b"\0" * 40 + b"\r\n\r\n",
}  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(rain_bundle):
    limits = {"max_rows": 64, "max_body_bytes": 128 * 1024, "max_connections": 10_000}
    async with hot.hot(rain_bundle, **limits) as served:
        yield served


async def calm(server):
    """Return a connection that has been answered once."""
    connection = server.connect()
    connection.data_received(PLAIN)
    await server.answers(connection, 1)
    connection.transport.written.clear()
    return connection


def begin_turn(server) -> None:
    server.connect().data_received(PLAIN)
    assert server.coalescer.has_begun


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("data", AMONG_OTHERS.values(), ids=AMONG_OTHERS)
async def test_a_request_gets_the_same_answer_wherever_in_a_turn_it_comes(shared, data):
    first = await calm(shared)
    first.data_received(data)
    wanted = await shared.answers(first, 1)
    later = await calm(shared)
    begin_turn(shared)
    later.data_received(data)
    found = await shared.answers(later, len(wanted))

    assert wanted
    assert found == wanted
    assert later.is_slow == first.is_slow


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("what", ["with-ids", "two", "chunked", "a-probe-and-more"])
async def test_a_later_request_may_be_cut_anywhere(shared, what):
    data = AMONG_OTHERS[what]
    whole = await shared.converse(data)

    for first, second in hot.cuts(data):
        connection = await calm(shared)
        begin_turn(shared)
        connection.data_received(first)
        connection.data_received(second)
        assert await shared.answers(connection, len(whole)) == whole


async def test_answers_keep_their_order_when_one_in_a_turn_goes_the_slow_way(rain_bundle):
    async with hot.hot(rain_bundle) as server:
        connection = await calm(server)
        begin_turn(server)
        pieces = [request(b"{"), PROBE, *(request(body(id=str(i))) for i in range(6))]
        for piece in (*pieces[2:5], *pieces[:2], *pieces[5:]):
            connection.data_received(piece)
        answers = await server.answers(connection, 8)

        assert [answer.status for answer in answers] == [200, 200, 200, 400, 200, 200, 200, 200]
        ids = [json.loads(answer.body).get("id") for answer in answers]
        assert ids == ["0", "1", "2", None, None, "3", "4", "5"]


async def test_more_than_may_wait_waits_in_the_connections(rain_bundle, monkeypatch):
    async with hot.hot(rain_bundle) as server:
        connections = [await calm(server) for _ in range(20)]
        for connection in connections[:-1]:
            connection.data_received(PLAIN * 64)
        begun = len(server.coalescer.waiting)
        connections[-1].data_received(PLAIN)

        assert begun == coalescing.MAX_WAITING
        assert not connections[-1].transport.reads
        for connection, count in [(c, 64) for c in connections[:-1]] + [(connections[-1], 1)]:
            assert len(await server.answers(connection, count)) == count


@asynccontextmanager
async def guarded(bundle, folder):
    """Serve a bundle to those who show the key of a file."""
    (folder / "keys").write_bytes(b"old")
    keys = Keys(folder / "keys", lambda _: None, lambda _: None)
    async with hot.hot(bundle, judge=keys) as server:
        yield server, keys


async def test_the_turn_after_a_rotation_lets_nobody_in_with_the_old_key(rain_bundle, tmp_path):
    async with guarded(rain_bundle, tmp_path) as (server, keys):
        old = request(body(), "authorization: Bearer old")
        connections = [server.connect() for _ in range(3)]
        for _ in range(2):
            for connection in connections:
                connection.data_received(old)
            await asyncio.sleep(0)
        assert not any(connection.is_slow for connection in connections)

        (tmp_path / "keys").write_bytes(b"new")
        keys.refresh()
        for connection in connections:
            connection.data_received(old)

        assert all(connection.is_slow for connection in connections)


async def test_no_place_in_a_turn_lets_a_body_over_the_limit_in(rain_bundle):
    async with hot.hot(rain_bundle, max_body_bytes=len(body()) + 100) as server:
        connections = [await calm(server) for _ in range(3)]
        begin_turn(server)
        for connection in connections:
            connection.data_received(request(body() + b" " * 101))
            (answer,) = await server.answers(connection, 1)

            assert answer.status == 413


async def test_a_draining_server_takes_nothing_the_fast_way(rain_bundle):
    async with hot.hot(rain_bundle) as server:
        connections = [await calm(server) for _ in range(3)]
        server.gate.drain()
        for connection in connections:
            connection.data_received(PLAIN)
            (answer,) = await server.answers(connection, 1)

            assert (answer.status, answer.closes) == (200, True)


async def test_a_client_that_stops_reading_in_a_turn_is_not_read_from(rain_bundle):
    async with hot.hot(rain_bundle) as server:
        connection = await calm(server)
        begin_turn(server)
        connection.pause_writing()
        connection.data_received(PLAIN)

        assert not connection.transport.reads
        connection.resume_writing()
        assert len(await server.answers(connection, 1)) == 1
