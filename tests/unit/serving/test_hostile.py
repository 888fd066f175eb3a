"""The real program among hostile clients: it stays as ready, as small and as quick as before."""

import contextlib
import json
import selectors
import threading

import grpc
import httpx
import pytest

from modelyard_serving.grpc_wire import inference_pb2 as wire
from support import hostile, http_wire, serving
from support.hostile import MIB, Attack
from support.serving import INFER, rows

BODY = json.dumps({"inputs": rows([0.5])}).encode()
HEAD = b"POST " + INFER.encode() + b" HTTP/1.1\r\nhost: rain\r\n"
PLAIN = HEAD + b"content-length: %d\r\n\r\n" % len(BODY) + BODY
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
VALID = (
    PLAIN,
    PLAIN.replace(b"host: rain", b"host: rain\r\nx-request-id: 1\r\naccept-encoding: gzip"),
    CHUNKED,
    b"GET /v2/health/ready HTTP/1.1\r\nhost: rain\r\n\r\n",
    b"GET /v2/models/rain HTTP/1.1\r\nhost: rain\r\n\r\n",
    b"GET /metrics HTTP/1.0\r\n\r\n",
)
STREAMS = 10_000
CUT_OFF = 0
GROWTH_BYTES = 24 * MIB


def ask(url: str, client: httpx.Client) -> dict:
    answer = client.post(url + INFER, content=BODY)
    assert answer.status_code == 200
    return answer.json()


@contextlib.contextmanager
def a_good_client(program):
    """Ask all along; each answer must be the one of before."""
    done = threading.Event()
    problems: list[object] = []
    asked = [0]

    def work() -> None:
        with httpx.Client(timeout=serving.PATIENCE_SECONDS) as client:
            first = ask(program.url, client)
            while not done.is_set():
                if ask(program.url, client) != first:
                    problems.append("another answer")
                asked[0] += 1

    def watched() -> None:
        try:
            work()
        except (AssertionError, httpx.HTTPError) as error:
            problems.append(error)

    thread = threading.Thread(target=watched)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    assert problems == []
    assert asked[0] > 0


def is_calm(program, files: int) -> None:
    """Wait until the program has forgotten its clients; it must be ready."""
    while hostile.open_files(program.process.pid) > files:
        assert program.process.poll() is None
    assert program.get("/v2/health/ready").status_code == 200


@pytest.mark.slow
def test_ten_thousand_streams_of_nonsense_leave_nothing_behind(rain_bundle):
    with serving.program(rain_bundle, RECEIVE_SECONDS=5) as program:
        program.wait_for("ready: rain version 1")
        pid = program.process.pid
        files = hostile.open_files(pid)
        with a_good_client(program):
            Attack(program.port, seed=1, valid=VALID).run(STREAMS // 5)
            memory = hostile.resident_bytes(pid)
            Attack(program.port, seed=2, valid=VALID).run(STREAMS)
        is_calm(program, files)
        growth = hostile.resident_bytes(pid) - memory
        metrics = program.get("/metrics").text

    assert growth < GROWTH_BYTES
    assert 'code="500"' not in metrics
    assert not "".join(line for line in program.lines if "traceback" in line)
    assert len(program.lines) < 100


@pytest.mark.slow
def test_nonsense_on_the_port_of_grpc_leaves_nothing_behind(rain_bundle):
    message = wire.ModelReadyRequest(name="rain").SerializeToString()
    calls = (
        hostile.grpc_call("/inference.GRPCInferenceService/ModelReady", message),
        hostile.grpc_call("/inference.GRPCInferenceService/ModelInfer", message),
        hostile.grpc_call("/grpc.health.v1.Health/Check", b""),
        PLAIN,
    )
    with serving.program(rain_bundle, GRPC_PORT=0, RECEIVE_SECONDS=5) as program:
        program.wait_for("ready: rain version 1")
        port = int(program.wait_for("gRPC on").split("127.0.0.1:")[1].split('"')[0])
        pid = program.process.pid
        files = hostile.open_files(pid)
        with a_good_client(program):
            Attack(port, seed=3, valid=calls).run(STREAMS // 10)
            memory = hostile.resident_bytes(pid)
            Attack(port, seed=4, valid=calls).run(STREAMS // 3)
        is_calm(program, files)
        growth = hostile.resident_bytes(pid) - memory
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            ready = channel.unary_unary(
                "/inference.GRPCInferenceService/ModelReady",
                response_deserializer=wire.ModelReadyResponse.FromString,
            )(message, timeout=serving.PATIENCE_SECONDS)

    assert ready.ready
    assert growth < GROWTH_BYTES
    assert not "".join(line for line in program.lines if "traceback" in line)
    assert len(program.lines) < 100


@pytest.mark.slow
def test_what_surrounds_a_body_has_an_end_too(rain_bundle):
    """Trailers, extensions and tiny chunks cost as little as a head, whatever their length."""
    begin = HEAD + b"transfer-encoding: chunked\r\n\r\n"
    endless = {
        "one trailer": (begin + b"0\r\nx: ", b"a"),
        "many trailers": (begin + b"0\r\n", b"x: 1\r\n"),
        "an extension": (begin + b"1;x=", b"a"),
        "zeros": (begin, b"0"),
    }
    with serving.program(rain_bundle, RECEIVE_SECONDS=60) as program:
        program.wait_for("ready: rain version 1")
        program.converse(PLAIN.replace(b"host: rain", b"host: rain\r\nconnection: close"))
        memory = hostile.peak_bytes(program.process.pid)
        codes = {name: fed(program, *data) for name, data in endless.items()}
        growth = hostile.peak_bytes(program.process.pid) - memory

    assert set(codes.values()) <= {400, 431, CUT_OFF}
    assert growth < 8 * MIB


def fed(program, begin: bytes, more: bytes) -> int:
    """Send without an end until the connection is refused, and return the code."""
    with program.connect() as connection:
        connection.sendall(begin)
        connection.settimeout(0.01)
        while True:
            try:
                with contextlib.suppress(TimeoutError):
                    return http_wire.answers(connection.recv(65536))[0].status
                connection.sendall(more * (8192 // len(more)))
            except ConnectionError:  # it was refused with bytes on their way
                return CUT_OFF


@pytest.mark.slow
def test_hundreds_of_half_requests_hold_nobody_up_and_are_cut_off(rain_bundle):
    halves = (
        b"G",
        HEAD,
        HEAD + b"x: ",
        HEAD + b"content-length: 9000\r\n\r\n{",
        CHUNKED[:-4],
        PLAIN[:-1],
    )
    with contextlib.ExitStack() as stack:
        program = stack.enter_context(serving.program(rain_bundle, RECEIVE_SECONDS=5))
        program.wait_for("ready: rain version 1")
        files = hostile.open_files(program.process.pid)
        waiting = stack.enter_context(selectors.DefaultSelector())
        stack.enter_context(a_good_client(program))
        for number in range(300):
            connection = stack.enter_context(program.connect())
            connection.sendall(halves[number % len(halves)])
            waiting.register(connection, selectors.EVENT_READ, halves[number % len(halves)])
        codes = set()
        while waiting.get_map():
            codes |= cut_off(waiting)
        is_calm(program, files + 1)

    assert codes == {408}


def cut_off(waiting: selectors.BaseSelector) -> set[int]:
    """Feed the connections that are not cut off yet, and return the codes of those that now are."""
    codes = set()
    for key, _ in waiting.select(timeout=0.2):
        # A byte that came too late resets the connection.
        with contextlib.suppress(ConnectionError):
            codes |= {answer.status for answer in http_wire.answers(serving.read_all(key.fileobj))}
        waiting.unregister(key.fileobj)
    for key in waiting.get_map().values():
        with contextlib.suppress(ConnectionError):
            key.fileobj.sendall(b" " if key.data.endswith((b"{", b": ")) else b"")
    return codes
