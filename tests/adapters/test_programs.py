"""The adapters that talk to our own programs, against a local server."""

import asyncio
import json

import pytest
from aiohttp import web

from modelyard_core import codec
from modelyard_core.errors import Rejected, Unavailable
from modelyard_core.routes import RouterCounters, RouterState
from modelyard_core.watch import Report, Target, Watch
from modelyard_operator.adapters import json_http
from modelyard_operator.adapters.json_http import MAX_BYTES, JsonClient
from modelyard_operator.adapters.monitor_http import MonitorService
from modelyard_operator.adapters.router_http import RouterAgents
from modelyard_operator.adapters.serving_http import ServingPods
from support.loop import START
from support.ports import free_port

WATCH = Watch(
    deployment="rain",
    reference_digest="sha256:1",
    reference_version=1,
    targets=(Target("rain-1", "rain-1.shop.svc"),),
    windows_seconds=(60,),
    budget=0.5,
    budget_seconds=86400,
    min_rows=200,
    feature_effect=0.05,
    prediction_effect=0.05,
)


class Program:
    """Answers everything with one status and one body, and remembers what it was asked."""

    def __init__(self):
        self.status, self.body = 200, b"{}"
        self.asked = []

    async def answer(self, request):
        self.asked.append((request.method, request.path, await request.read()))
        return web.Response(status=self.status, body=self.body)

    def says(self, value):
        self.body = json.dumps(codec.encode(value)).encode()


@pytest.fixture
def program():
    return Program()


@pytest.fixture
async def port(program):
    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", program.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


@pytest.fixture
async def client():
    async with JsonClient(5.0) as client:
        yield client


@pytest.fixture
def agents(client, port):
    return RouterAgents(client, port)


@pytest.fixture
def monitor(client, port):
    return MonitorService(client, f"http://127.0.0.1:{port}/")


async def test_the_state_of_an_agent_is_read(agents, program):
    program.says(RouterState(desired=7, applied=6, waiting="rain-2"))

    assert await agents.state("127.0.0.1") == RouterState(desired=7, applied=6, waiting="rain-2")
    assert program.asked[0][:2] == ("GET", "/v1/routes")


async def test_the_counters_of_an_agent_are_read(agents, program):
    program.says(RouterCounters("boot", START))

    assert await agents.counters("127.0.0.1") == RouterCounters("boot", START)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(500, b"{}", id="a-failure"),
        pytest.param(302, b"", id="a-redirect"),
        pytest.param(200, b"<html>", id="no-json"),
        pytest.param(200, b'{"applied": "six"}', id="another-shape"),
        pytest.param(200, b" " * (MAX_BYTES + 1), id="too-much"),
    ],
)
async def test_what_is_no_answer_is_silence(agents, program, status, body):
    program.status, program.body = status, body

    assert await agents.state("127.0.0.1") is None


async def test_nobody_is_silence(client):
    assert await RouterAgents(client, free_port()).state("127.0.0.1") is None


async def test_a_watch_is_put_and_the_answer_is_the_report(monitor, program):
    program.says(Report(START, "sha256:1", rows_total=5))

    report = await monitor.put_watch("shop", "rain", WATCH)

    method, path, body = program.asked[0]
    assert (method, path) == ("PUT", "/v1/watches/shop/rain")
    assert codec.decode(Watch, json.loads(body)) == WATCH
    assert report.rows_total == 5


async def test_a_watch_that_the_monitor_refuses_has_a_reason(monitor, program):
    program.status, program.body = 429, b'{"error": "there are 1000 watches already"}'

    with pytest.raises(Rejected, match="1000 watches"):
        await monitor.put_watch("shop", "rain", WATCH)


@pytest.mark.parametrize(("status", "body"), [(503, b"{}"), (200, b"<html>"), (400, b"[]")])
async def test_an_answer_without_a_report_is_silence(monitor, program, status, body):
    program.status, program.body = status, body

    assert await monitor.put_watch("shop", "rain", WATCH) is None


@pytest.mark.parametrize("status", [204, 404])
async def test_a_watch_is_ended_once_or_more(monitor, program, status):
    program.status, program.body = status, b""

    await monitor.delete_watch("shop", "rain")

    assert program.asked[0][:2] == ("DELETE", "/v1/watches/shop/rain")


async def test_a_watch_that_could_not_be_ended_is_tried_again(monitor, program):
    program.status = 503

    with pytest.raises(Unavailable, match="answered 503"):
        await monitor.delete_watch("shop", "rain")


async def test_an_answer_is_read_up_to_its_limit(client, program, port):
    program.body = b"x" * json_http.MAX_BYTES

    _, content = await client.send("GET", f"http://127.0.0.1:{port}/")

    assert len(content) == json_http.MAX_BYTES


@pytest.fixture
def servers(client, port):
    return ServingPods(client, port)


async def test_a_server_that_is_not_ready_says_why(servers, program):
    program.status, program.body = 503, b'{"error": "input \'x\' is FP64 in the model,\\n FP32"}'

    assert await servers.why_not_ready("127.0.0.1") == "input 'x' is FP64 in the model, FP32"
    assert program.asked[0][:2] == ("GET", "/v2/health/ready")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(200, b'{"ready": true}', id="it-is-ready"),
        pytest.param(404, b'{"error": "no such page"}', id="another-program"),
        pytest.param(503, b"<html>", id="no-json"),
        pytest.param(503, b'{"error": 5}', id="another-shape"),
        pytest.param(503, b" " * (MAX_BYTES + 1), id="too-much"),
    ],
)
async def test_a_server_that_does_not_say_why_is_silent(servers, program, status, body):
    program.status, program.body = status, body

    assert await servers.why_not_ready("127.0.0.1") == ""


async def test_the_reason_of_a_server_is_cut(servers, program):
    program.status, program.body = 503, json.dumps({"error": "x" * 1000}).encode()

    assert await servers.why_not_ready("127.0.0.1") == "x" * 400


async def test_a_server_that_never_answers_holds_nobody_up(silent_port):
    async with JsonClient(0.05) as client:
        assert await ServingPods(client, silent_port).why_not_ready("127.0.0.1") == ""


@pytest.fixture
async def silent_port():
    async def keep_silent(reader, writer):
        await reader.read()
        writer.close()

    async with await asyncio.start_server(keep_silent, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
