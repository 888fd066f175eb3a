"""An error that nobody foresaw, in one run of a turn: the others of the turn are answered, once."""

import asyncio

import pytest

from modelyard_serving import coalescing
from support import hot, picking
from support.picking import FORMS

CLIENTS = 12


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return picking.bundle(tmp_path_factory.mktemp("picking"))


@pytest.fixture
async def server(bundle):
    """A server whose loop keeps what nobody caught."""
    async with hot.hot(bundle) as served:
        served.caught = []
        served.loop.set_exception_handler(lambda _, what: served.caught.append(what["exception"]))
        yield served
        served.loop.set_exception_handler(None)


PARTS = {
    "reading": lambda server: (type(server.model), "read"),
    "running": lambda server: (type(server.inference.model), "run"),
    "statistics": lambda server: (type(server.inference.statistics), "answered_together"),
    "metrics": lambda server: (type(server.metrics), "answered_together"),
    "recorder": lambda server: (type(server.inference.recorder), "record_batch"),
}


def fail_at(monkeypatch, kind, name, place):
    """Let one call of a method fail, from the first on the one at this place."""
    calls, real = iter(range(10**6)), getattr(kind, name)

    def failing(*arguments, **more):
        if next(calls) == place:
            raise RuntimeError("nobody foresaw this")
        return real(*arguments, **more)

    monkeypatch.setattr(kind, name, failing)


@pytest.mark.parametrize("turn_seconds", [0.0, 1000.0])
@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("form", ["large", "binary"])
@pytest.mark.parametrize("part", PARTS)
async def test_one_client_pays_for_a_bug_at_most(
    server, monkeypatch, part, form, place, turn_seconds
):
    monkeypatch.setattr(coalescing, "TURN_SECONDS", turn_seconds)
    fail_at(monkeypatch, *PARTS[part](server), place)
    connections = [server.connect() for _ in range(CLIENTS)]
    for number, connection in enumerate(connections):
        connection.data_received(FORMS[form](number))

    for _ in range(1000):  # far more turns than it takes
        await asyncio.sleep(0)
    answers = [each.transport.written.count(b"HTTP/1.1 ") for each in connections]
    assert sum(count != 1 for count in answers) <= 1, answers
    assert max(answers) == 1
    assert len(server.caught) <= 1
