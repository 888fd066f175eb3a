"""More work than there is room for: it is turned away at once, and all is as before when it ends."""

import asyncio
import contextlib
import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from support import hostile, http_wire, serving, slow_model
from support.hostile import MIB
from support.serving import INFER, rows

BODY = json.dumps({"inputs": rows([0.5])}).encode()
CLIENTS, EACH = 8, 10_000
OK = b"HTTP/1.1 200 OK"
HEAD = b"POST " + INFER.encode() + b" HTTP/1.1\r\nhost: rain\r\n"


async def hammer(http: httpx.AsyncClient, enough: Counter, codes: Counter) -> None:
    """Ask at once and again, whatever the answer, until every code was seen often enough."""
    while any(codes[code] < count for code, count in enough.items()):
        answer = await http.post(INFER, json=slow_model.REQUEST)
        codes[answer.status_code] += 1
        if answer.status_code != 200:
            assert answer.headers["retry-after"] == "1"
            assert "try again" in answer.json()["error"]


@pytest.mark.slow
async def test_far_more_than_the_model_can_do_is_turned_away_and_then_all_is_well(tmp_path):
    bundle = slow_model.bundle(tmp_path, size=700)
    codes = Counter()
    with serving.program(bundle, MAX_WAITING=4, WORKERS=1, DRAIN_SECONDS=0) as program:
        await asyncio.to_thread(program.wait_for, "ready: rain version 1")
        limits = httpx.Limits(max_connections=80)
        async with httpx.AsyncClient(
            base_url=program.url, timeout=serving.PATIENCE_SECONDS, limits=limits
        ) as http:
            await hammer(http, Counter({200: 2}), Counter())
            memory = hostile.resident_bytes(program.process.pid)
            enough = Counter({200: 10, 503: 150})
            async with asyncio.TaskGroup() as group:
                for _ in range(64):
                    group.create_task(hammer(http, enough, codes))
                group.create_task(probe(http, enough, codes))
            after = [(await http.post(INFER, json=slow_model.REQUEST)) for _ in range(5)]
        growth = hostile.resident_bytes(program.process.pid) - memory

    assert set(codes) == {200, 503}
    assert [answer.status_code for answer in after] == [200] * 5
    assert growth < 64 * MIB


async def probe(http: httpx.AsyncClient, enough: Counter, codes: Counter) -> None:
    """Ask for readiness all along: a busy server is ready."""
    while any(codes[code] < count for code, count in enough.items()):
        assert (await http.get("/v2/health/ready")).status_code == 200


@pytest.mark.slow
def test_bodies_that_never_end_do_not_fill_the_memory(rain_bundle):
    """Each is within its limit, all of them together are not."""
    told = {"MAX_BODY_BYTES": MIB, "MAX_HELD_BYTES": 8 * MIB}
    told["RECEIVE_SECONDS"] = serving.PATIENCE_SECONDS
    with contextlib.ExitStack() as stack:
        program = stack.enter_context(serving.program(rain_bundle, **told))
        program.wait_for("ready: rain version 1")
        program.converse(HEAD + b"connection: close\r\ncontent-length: 3\r\n\r\n{ }")
        memory = hostile.resident_bytes(program.process.pid)
        connections = [stack.enter_context(program.connect()) for _ in range(44)]
        for crowd in connections[:4], connections[4:]:
            for connection in crowd:
                connection.sendall(HEAD + b"content-length: %d\r\n\r\n" % MIB)
                with contextlib.suppress(ConnectionError):
                    connection.sendall(b" " * (MIB - 1))
            while hostile.unread(program.port):
                assert program.process.poll() is None
        growth = hostile.resident_bytes(program.process.pid) - memory
        codes = [code_at_the_end(connection) for connection in connections]
        small = program.converse(
            HEAD + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(BODY) + BODY
        )

    assert growth < 24 * MIB
    assert codes[:4] == [400] * 4, "those that were held are answered: spaces are no JSON"
    assert set(codes[4:]) <= {400, 503}
    assert codes.count(503) >= 36
    assert small.startswith(b"HTTP/1.1 200 OK")


@pytest.mark.slow
def test_requests_that_come_faster_than_their_answers_wait_at_the_client(rain_bundle):
    """The clients do not wait for answers, but they read them."""
    one = HEAD + b"content-length: %d\r\n\r\n" % len(BODY) + BODY
    with serving.program(rain_bundle) as program:
        program.wait_for("ready: rain version 1")
        program.converse(one * 500 + HEAD + b"connection: close\r\ncontent-length: 0\r\n\r\n")
        memory = hostile.peak_bytes(program.process.pid)

        with ThreadPoolExecutor(CLIENTS) as pool:
            answered = list(pool.map(lambda _: flood(program, one), range(CLIENTS)))
        growth = hostile.peak_bytes(program.process.pid) - memory

    assert answered == [EACH] * CLIENTS
    assert growth < 16 * MIB


def flood(program, request: bytes) -> int:
    """Send many requests at once, and return how many were answered."""
    with program.connect() as connection:
        sender = threading.Thread(target=connection.sendall, args=(request * EACH,))
        sender.start()
        found, last = 0, b""
        while found < EACH and (piece := connection.recv(1 << 20)):
            found += (last + piece).count(OK)
            last = piece[-len(OK) + 1 :]
        sender.join()
        return found


def code_at_the_end(connection) -> int:
    with contextlib.suppress(ConnectionError):
        connection.sendall(b" ")
    data = b""
    with contextlib.suppress(ConnectionError):
        while not data.endswith(b"}") and (piece := connection.recv(65536)):
            data += piece
    return http_wire.answers(data)[0].status if data else 503


@pytest.mark.slow
def test_a_hundred_requests_at_once_on_one_connection_are_answered_in_order(rain_bundle):
    """Each has another id; the fast way takes them in turns, the slow way refuses the last."""
    bodies = [json.dumps({"id": str(n), "inputs": rows([n])}).encode() for n in range(100)]
    requests = [HEAD + b"content-length: %d\r\n\r\n" % len(body) + body for body in bodies]
    last = b"GET /v2/health/live HTTP/1.1\r\nhost: rain\r\nconnection: close\r\n\r\n"
    with serving.program(rain_bundle, MAX_PIPELINED=10) as program:
        program.wait_for("ready: rain version 1")

        fast = http_wire.answers(program.converse(b"".join(requests) + last))
        metadata = b"GET /v2/models/rain HTTP/1.1\r\nhost: rain\r\n\r\n"
        slow = http_wire.answers(program.converse(metadata * 100 + last))

    assert [answer.status for answer in fast] == [200] * 101
    assert [json.loads(answer.body)["id"] for answer in fast[:-1]] == [str(n) for n in range(100)]
    assert [answer.status for answer in slow] == [200] * 11 + [503]
    assert slow[-1].closes
    assert slow[-1].headers["retry-after"] == "1"
