"""SIGTERM among requests: another process takes over, and none that was accepted is lost."""

import json

import pytest

from support import serving
from support.serving import INFER, rows
from support.takeover import Client, Service

CLIENTS = 16
BODY = json.dumps({"inputs": rows([0.5])}).encode()
HEAD = b"POST " + INFER.encode() + b" HTTP/1.1\r\nhost: rain\r\n"
FAST = HEAD + b"content-length: %d\r\n\r\n" % len(BODY) + BODY
REQUESTS = (
    FAST,
    HEAD + b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY),
    FAST,
    b"GET /v2/models/rain HTTP/1.1\r\nhost: rain\r\n\r\n",
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("drain_seconds", "may_miss"),
    [pytest.param(60, False, id="drain"), pytest.param(0, True, id="at-once")],
)
def test_another_process_takes_over_without_a_lost_request(rain_bundle, drain_seconds, may_miss):
    """A request that came too late ends without a byte, so that its client may ask again."""
    with (
        serving.program(rain_bundle, DRAIN_SECONDS=drain_seconds) as first,
        serving.program(rain_bundle) as second,
    ):
        for program in (first, second):
            program.wait_for("ready: rain version 1")
        service = Service(first.port)
        clients = [Client(service, REQUESTS) for _ in range(CLIENTS)]
        wait(lambda: all(client.answered[first.port] > 8 for client in clients), clients)
        service.port = second.port
        first.terminate()
        wait(lambda: all(client.answered[second.port] > 8 for client in clients), clients)
        if drain_seconds:
            first.terminate()
        assert first.process.wait(serving.PATIENCE_SECONDS) == 0
        service.stopped = True
        for client in clients:
            client.thread.join()

    assert [client.problem for client in clients if client.problem] == []
    assert may_miss or sum(client.unread for client in clients) == 0


def wait(happened, clients) -> None:
    while not happened():
        for client in clients:
            client.thread.join(0.001)
            assert client.thread.is_alive(), client.problem
