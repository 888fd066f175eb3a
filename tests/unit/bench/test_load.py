"""The load generator against small servers that are right, wrong, late, or gone."""

import asyncio
import json
import subprocess
from dataclasses import dataclass, replace

import grpc
import pytest
from bench.serving import load
from bench.serving.load import Job
from hack.terminal import Failure

pytestmark = pytest.mark.slow


@dataclass(frozen=True, slots=True)
class Asked:
    """A request and its answer."""

    text: bytes


@dataclass(frozen=True, slots=True)
class Words:
    """Requests whose answer is their own body."""

    path: str = "/words/Echo"
    grpc: bool = False

    def request(self, question):
        if self.grpc:
            return question.text
        head = b"POST / HTTP/1.1\r\nHost: x\r\nX-Request-Id: %b\r\nContent-Length: %d\r\n\r\n"
        return head % (b"0" * 16, len(question.text)) + question.text

    def counter(self, request):
        return max(request.find(b"0" * 16), 0)

    def judge(self, question, answer):
        if answer != question.text:
            raise ValueError(f"{answer!r} is not {question.text!r}")


WORDS = [Asked(b"one"), Asked(b"two"), Asked(b"three" * 3000)]


@pytest.fixture(scope="session")
def generator():
    return load.build()


async def run(generator, job, port, seconds=1.5):
    """Return what a run found; the server shares this process, so the run must not block it."""
    told = json.dumps(load.described(job, port, warmup=0.1, seconds=seconds)).encode()
    process = await asyncio.create_subprocess_exec(
        generator, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, errors = await process.communicate(told)
    assert process.returncode == 0, errors
    return json.loads(out)


class HttpServer:
    """Answers each request by a function from its number and body to the whole answer."""

    def __init__(self, answer):
        self.answer = answer
        self.ids = []

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self.server.close()
        await self.server.wait_closed()

    async def serve(self, reader, writer):
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                fields = dict(line.split(b": ", 1) for line in head.strip().split(b"\r\n")[1:])
                body = await reader.readexactly(int(fields[b"Content-Length"]))
                self.ids.append(fields[b"X-Request-Id"])
                answer = self.answer(len(self.ids), body)
                if answer is None:
                    return
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the generator has seen enough
        finally:
            writer.close()


def answered(body, status=b"200 OK"):
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


async def test_right_answers_are_counted_timed_and_judged(generator):
    job = Job(Words(), WORDS, connections=4)

    async with HttpServer(lambda _, body: answered(body)) as server:
        told = await run(generator, job, server.port)
    found = load.outcome(job, told)

    assert 0 < found.requests <= found.total <= len(server.ids)
    assert 0 < found.p50 <= found.p99 <= found.slowest
    assert sum(answer["count"] for each in told["answers"] for answer in each) == found.total


async def test_a_generator_that_polls_does_not_sleep_until_its_answer(generator):
    job = Job(Words(), WORDS, connections=1, rate=20)
    busy = {}

    for polls in (False, True):
        async with HttpServer(lambda _, body: answered(body)) as server:
            told = await run(generator, replace(job, polls=polls), server.port)
        busy[polls] = load.outcome(job, told).busy

    assert busy[True] > 2 * busy[False]


async def test_every_request_has_an_id_of_its_own(generator):
    async with HttpServer(lambda _, body: answered(body)) as server:
        await run(generator, Job(Words(), WORDS[:1], connections=1), server.port)

    assert len(set(server.ids)) == len(server.ids)
    assert server.ids[:2] == [b"%016x" % 1, b"%016x" % 2]


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        pytest.param(
            lambda number, body: answered(b"2" + body if number == 5 else body),
            "1 wrong answers.*2",
            id="one-wrong-answer-among-many",
        ),
        pytest.param(
            lambda number, body: answered(body, b"200 OK" if number != 5 else b"503 Busy"),
            "1 times: status 503",
            id="one-refusal",
        ),
        pytest.param(
            lambda number, body: answered(body) if number != 5 else None,
            "1 times: the server closed",
            id="a-closed-connection",
        ),
        pytest.param(
            lambda _, body: b"HTTP/1.1 200 OK\r\n\r\n" + body,
            "without content-length",
            id="no-length",
        ),
        pytest.param(
            lambda number, _: answered(b"%d" % number), "over 64 distinct", id="never-the-same"
        ),
    ],
)
async def test_what_goes_wrong_is_never_a_figure(generator, answer, sentence):
    job = Job(Words(), WORDS, connections=2)

    async with HttpServer(answer) as server:
        told = await run(generator, job, server.port)

    with pytest.raises(Failure, match=sentence):
        load.outcome(job, told)


async def test_a_rate_is_kept_and_what_is_owed_at_the_end_is_counted(generator):
    """The server stops answering after a while: the wait of the rest is in the latencies."""
    silence = asyncio.Event()

    class Stalling(HttpServer):
        async def serve(self, reader, writer):
            for _ in range(10):
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.lower().partition(b"content-length: ")[2])
                writer.write(answered(await reader.readexactly(size)))
            await silence.wait()
            writer.close()

    job = Job(Words(), WORDS[:1], connections=1, rate=100)
    async with Stalling(None) as server:
        told = await run(generator, job, server.port, seconds=0.5)
        silence.set()

    # 60 were due in 0.6 s, 10 of them while warming up.
    assert told["total"] <= 10
    assert told["requests"] + told["unfinished"] == 50
    assert told["latency"]["max"] == pytest.approx(500_000, rel=0.02)


async def answer_word(message, context):
    if message == b"broken":
        await context.abort(grpc.StatusCode.INTERNAL, "it is broken")
    return message


@pytest.fixture
async def grpc_port():
    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(answer_word)
    service = grpc.method_handlers_generic_handler("words", {"Echo": handler})
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield port
    await server.stop(None)


async def test_grpc_calls_share_a_connection_and_are_judged(generator, grpc_port):
    job = Job(Words(grpc=True), WORDS, connections=2, streams=8)

    told = await run(generator, job, grpc_port)

    assert load.outcome(job, told).requests > 0


async def test_a_grpc_status_is_an_error(generator, grpc_port):
    job = Job(Words(grpc=True), [Asked(b"fine"), Asked(b"broken")], connections=1, streams=2)

    told = await run(generator, job, grpc_port)

    with pytest.raises(Failure, match='gRPC status "13": it is broken'):
        load.outcome(job, told)
