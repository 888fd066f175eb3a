"""The real program over real sockets: limits, deadlines, slow models, and the drain."""

import asyncio
import contextlib
import json
import re
import socket
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from support import serving, slow_model
from support.serving import INFER, rows

BODY = json.dumps({"inputs": rows([0.5])}).encode()
LIMITS = {
    "MAX_CONNECTIONS": 6,
    "MAX_HEADER_BYTES": 4096,
    "MAX_BODY_BYTES": 100_000,
    "RECEIVE_SECONDS": serving.PATIENCE_SECONDS,
    "DRAIN_SECONDS": 0,
}
HURRY_SECONDS = 1


def head(length, *more):
    lines = (f"POST {INFER} HTTP/1.1", "host: rain", f"content-length: {length}", *more, "", "")
    return "\r\n".join(lines).encode()


WHOLE = head(len(BODY)) + BODY


@pytest.fixture(scope="module")
def bounded(rain_bundle):
    with serving.program(rain_bundle, **LIMITS) as program:
        program.wait_for("ready: rain version 1")
        yield program


@pytest.fixture(scope="module")
def hurried(rain_bundle):
    with serving.program(rain_bundle, RECEIVE_SECONDS=HURRY_SECONDS) as program:
        program.wait_for("ready: rain version 1")
        yield program


def error(answer: bytes) -> tuple[int, str]:
    start, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/json" in start
    return int(start.split()[1]), json.loads(body)["error"]


def test_a_request_cut_into_bytes_is_answered(bounded):
    with bounded.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in head(len(BODY), "connection: close") + BODY:
            connection.sendall(bytes([byte]))

        assert serving.read_all(connection).startswith(b"HTTP/1.1 200 OK\r\n")


def test_requests_in_one_packet_are_answered_in_order(bounded):
    bodies = [json.dumps({"id": str(i), "inputs": rows([i])}).encode() for i in range(5)]
    last = head(len(bodies[-1]), "connection: close")
    heads = [*(head(len(body)) for body in bodies[:-1]), last]

    answers = bounded.converse(b"".join(h + b for h, b in zip(heads, bodies, strict=True)))

    places = [answers.index(b'"id":"%d"' % i) for i in range(5)]
    assert answers.count(b"HTTP/1.1 200 OK") == 5
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("data", "code", "sentence"),
    [
        pytest.param(b"\x16\x03\x01\x02\x00", 400, "not HTTP", id="a-tls-hello"),
        pytest.param(b"NONSENSE\r\n\r\n", 400, "not HTTP", id="nonsense"),
        pytest.param(head(5, "content-length: 6") + b"12345", 400, "not HTTP", id="two-lengths"),
        pytest.param(
            head(5, "connection: upgrade", "upgrade: websocket") + b"12345",
            400,
            "cannot offer an upgrade",
            id="an-upgrade-with-a-body",
        ),
        pytest.param(
            head(5, "transfer-encoding: chunked") + b"0\r\n\r\n", 400, "not HTTP", id="smuggling"
        ),
        pytest.param(b"GET /v2 HTTP/1.1\r\nx: " + b"a" * 9000, 431, "limit of 4096", id="head"),
        pytest.param(
            b"GET /v2 HTTP/1.1\r\nx: " + b"a" * 9000 + b"\r\n\r\n", 431, "4096", id="whole-head"
        ),
    ],
)
def test_bytes_that_are_no_acceptable_request_are_answered_and_cut_off(
    bounded, data, code, sentence
):
    status, text = error(bounded.converse(data))

    assert status == code
    assert sentence in text


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(b"HTTP/1.1\r\nhost: r\r\nconnection: close", id="close-asked-for"),
        pytest.param(b"HTTP/1.0", id="an-old-client"),
        pytest.param(
            b"HTTP/1.1\r\nhost: r\r\nconnection: upgrade\r\nupgrade: websocket",
            id="an-upgrade-ignored",
        ),
    ],
)
def test_an_answer_ends_the_connection_where_it_must(bounded, lines):
    answer = bounded.converse(b"GET /v2/health/live " + lines + b"\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b"connection: close" in answer
    assert answer.endswith(b'{"live":true}')


def never_ending(program, begin: bytes, more: bytes = b"") -> bytes:
    """Begin a request, send more of it again and again, and return what comes until the end.

    Where a busy machine sends the beginning too late, the connection has ended before: once more.
    """
    while True:
        with contextlib.suppress(ConnectionError), program.connect() as connection:
            connection.sendall(begin)
            answer = trickled(connection, more) if more else serving.read_all(connection)
            if answer:
                return answer


def trickled(connection, more: bytes) -> bytes:
    connection.settimeout(0.05)
    while True:
        try:
            return serving.read_all(connection)
        except TimeoutError:
            connection.sendall(more)


@pytest.mark.slow
def test_slow_clients_are_cut_off(hurried):
    """All at once, since each takes as long as a request may take."""
    requests = (head(10),), (b"GET /v2 HTTP",), (head(1000), b" ")
    with ThreadPoolExecutor() as pool:
        told = [pool.submit(never_ending, hurried, *request) for request in requests]
        untold = [pool.submit(hurried.converse, blank) for blank in (b"", b"\r\n\r\n")]

    for answer in told:
        assert error(answer.result()) == (408, "the request took over 1 s to arrive")
    assert [answer.result() for answer in untold] == [b"", b""]


def test_a_large_body_is_refused_before_it_comes(bounded):
    with bounded.connect() as connection:
        connection.sendall(head(10**9, "expect: 100-continue"))

        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


def answered(connection) -> bool:
    """Ask for an inference, and return whether it is answered."""
    connection.settimeout(serving.PATIENCE_SECONDS)
    answer = b""
    with contextlib.suppress(ConnectionError):
        connection.sendall(head(len(BODY)) + BODY)
        while not answer.endswith(b"]}]}") and (piece := connection.recv(65536)):
            answer += piece
    return answer.startswith(b"HTTP/1.1 200 OK")


@pytest.mark.slow
def test_a_pause_after_an_answer_is_no_slow_request(hurried):
    with contextlib.ExitStack() as stack:
        while not answered(connection := stack.enter_context(hurried.connect())):
            pass  # a busy machine has sent the first request too late
        connection.settimeout(1.5 * HURRY_SECONDS)
        with pytest.raises(TimeoutError):
            connection.recv(1)

        assert answered(connection)


def test_too_many_connections_are_turned_away_but_for_health(bounded):
    idle = [bounded.connect() for _ in range(LIMITS["MAX_CONNECTIONS"])]
    try:
        status, text = error(bounded.converse(head(len(BODY)) + BODY))
        health = bounded.converse(b"GET /v2/health/ready HTTP/1.1\r\nhost: rain\r\n\r\n")
    finally:
        for connection in idle:
            connection.close()

    assert (status, text) == (503, "too many connections; try again")
    assert health.startswith(b"HTTP/1.1 200 OK")
    assert b"connection: close" in health


class Clients:
    """Clients that ask all along, and go when they are led away."""

    def __init__(self):
        self.answered = 0
        self.led_away = asyncio.Event()

    async def ask(self, url) -> None:
        """Ask until the connection is closed by an answer; each must be whole."""
        async with httpx.AsyncClient(base_url=url, timeout=serving.PATIENCE_SECONDS) as http:
            while True:
                answer = await http.post(INFER, content=BODY)
                assert answer.status_code == 200
                self.answered += 1
                if answer.headers.get("connection") == "close":
                    self.led_away.set()
                    return


async def seen(http) -> int:
    roles = (await http.get("/v1/sketch")).json()["roles"]
    return roles["direct"]["requests"] if roles else 0


@pytest.mark.slow
async def test_the_drain_loses_no_request_and_keeps_the_final_counts(rain_bundle):
    """A second signal ends the drain, so that no time is measured here."""
    clients = Clients()
    with serving.program(rain_bundle, DRAIN_SECONDS=60) as program:
        await asyncio.to_thread(program.wait_for, "ready: rain version 1")
        async with program.client() as http:
            async with asyncio.TaskGroup() as group:
                for _ in range(8):
                    group.create_task(clients.ask(program.url))
                while await seen(http) < 200:
                    pass
                program.terminate()
                await clients.led_away.wait()
            ready = await http.get("/v2/health/ready")
            late = await http.post(INFER, content=BODY)
            final = await seen(http)
        program.terminate()
        assert await asyncio.to_thread(program.process.wait, serving.PATIENCE_SECONDS) == 0

    assert ready.status_code == 503
    assert (late.status_code, late.headers["connection"]) == (200, "close")
    assert final == clients.answered + 1 > 200


@pytest.mark.slow
@pytest.mark.parametrize(
    ("begun", "rest"),
    [
        pytest.param(WHOLE + WHOLE[:-9], WHOLE[-9:], id="half-a-body"),
        pytest.param(head(len(BODY), "expect: 100-continue"), BODY, id="no-body-yet"),
    ],
)
def test_a_request_that_has_begun_at_the_end_of_the_drain_is_still_answered(
    rain_bundle, begun, rest
):
    """The first answer tells that the server has seen all that was sent with it."""
    with serving.program(rain_bundle, DRAIN_SECONDS=0) as program:
        program.wait_for("ready: rain version 1")
        with program.connect() as connection:
            connection.sendall(begun)
            assert connection.recv(65536).startswith((b"HTTP/1.1 200 OK", b"HTTP/1.1 100 Continue"))
            program.terminate()
            program.wait_for("Shutting down")
            connection.sendall(rest)
            answer = serving.read_all(connection)
        assert program.process.wait(serving.PATIENCE_SECONDS) == 0

    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b"connection: close\r\n" in answer


@pytest.mark.slow
async def test_requests_that_run_at_the_end_of_the_drain_are_still_answered(tmp_path):
    with serving.program(slow_model.bundle(tmp_path, 350), DRAIN_SECONDS=0, WORKERS=1) as program:
        await asyncio.to_thread(program.wait_for, "ready: rain version 1")
        async with program.client() as http:
            asked = [
                asyncio.create_task(http.post(INFER, json=slow_model.REQUEST)) for _ in range(20)
            ]
            while await taken(http) < len(asked):
                pass
            program.terminate()
            answers = await asyncio.gather(*asked)
        assert await asyncio.to_thread(program.process.wait, serving.PATIENCE_SECONDS) == 0

    assert [answer.status_code for answer in answers] == [200] * len(answers)


async def taken(http) -> float:
    """Return how many requests are answered or being answered."""
    text = (await http.get("/metrics")).text
    return sum(
        map(float, re.findall(r"^modelyard_(?:inflight_)?requests(?:_total\S+)? (.+)$", text, re.M))
    )


@pytest.mark.slow
def test_a_second_signal_ends_the_drain(rain_bundle):
    with serving.program(rain_bundle, DRAIN_SECONDS=3600) as program:
        program.wait_for("ready: rain version 1")
        program.terminate()
        while program.get("/v2/health/ready").status_code == 200:
            pass
        program.terminate()

        assert program.process.wait(timeout=serving.PATIENCE_SECONDS) == 0
