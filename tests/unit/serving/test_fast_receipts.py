"""Receipts of answers that many requests get together: as the general way writes them, each its own."""

import asyncio
import dataclasses
import gzip
import json
from datetime import UTC, datetime

import numpy as np
import pytest

from modelyard_core import receipts as core
from modelyard_serving.receipts import Receipts
from support import hot
from support.secret_mount import SecretMount
from support.serving import rows

KEY, NEXT_KEY = b"first-key-of-32-bytes-or-so-......", b"second-key-of-32-bytes-or-so-....."
OWN = {"id": "own", "inputs": rows([0.5])}
MANY = rows(np.linspace(-3, 3, 64).tolist())
GZIP = "accept-encoding: gzip"
WAYS = {
    "one-row": (OWN, ()),
    "no-id": ({"inputs": rows([0.5])}, ()),
    "an-id-to-escape": (OWN | {"id": 'a"\\%d é'}, ()),
    "a-long-id": (OWN | {"id": "x" * 200}, ()),
    "an-id-that-cannot-be-shown": (OWN | {"id": "a\nb"}, ()),
    "several-rows": (OWN | {"inputs": rows([0.5, 2.0, -1.0])}, ()),
    "the-routers-id": (OWN, ("x-request-id: routers",)),
    "the-routers-id-is-empty": (OWN, ("x-request-id: ",)),
    "some-outputs": (OWN | {"outputs": [{"name": "label"}]}, ()),
    "alone-and-packed": (OWN | {"inputs": MANY}, (GZIP,)),
    "shared-and-packed": (OWN | {"id": "y" * 1500}, (GZIP,)),
}


@pytest.fixture
def secret(tmp_path):
    mounted = SecretMount(tmp_path / "receipts")
    mounted.put(key=KEY)
    return mounted


@pytest.fixture
def papers(secret):
    return Receipts(secret.folder / "key", lambda _: None)


@pytest.fixture
async def server(rain_bundle, papers):
    async with hot.hot(rain_bundle, papers=papers) as server:
        yield server


def text_of(answer) -> str:
    return answer.headers["x-modelyard-receipt"]


def verified(answer, *keys: bytes) -> core.Receipt:
    """Return an answer's receipt, the time set to another."""
    packed = answer.headers.get("content-encoding") == "gzip"
    content = gzip.decompress(answer.body) if packed else answer.body
    receipt = core.verify(text_of(answer), keys or [KEY], content)
    return dataclasses.replace(receipt, at=datetime(2026, 1, 1, tzinfo=UTC))


def without_receipt(answer):
    """Return an answer with nothing but the name and the place of its receipt."""
    return dataclasses.replace(answer, headers={**answer.headers, "x-modelyard-receipt": ""})


async def answered_fast(server, data: bytes):
    connection = server.connect()
    connection.data_received(data)
    (answer,) = await server.answers(connection, 1)
    assert not connection.is_slow
    return answer


@pytest.mark.parametrize(("body", "fields"), WAYS.values(), ids=WAYS)
async def test_both_ways_write_the_same_receipt(server, body, fields):
    content = json.dumps(body).encode()
    fast = await answered_fast(server, hot.request(content, *fields))
    (slow,) = await server.converse(hot.chunked(content, *fields))

    assert verified(fast) == verified(slow)
    assert without_receipt(fast) == without_receipt(slow)
    assert list(fast.headers) == list(slow.headers)


async def test_a_binary_answer_has_its_receipt(server):
    content = json.dumps(OWN | {"parameters": {"binary_data_output": True}}).encode()
    length = f"inference-header-content-length: {len(content)}"

    assert verified(await answered_fast(server, hot.request(content, length))).id == "own"


async def test_each_answer_of_a_shared_run_has_the_receipt_of_its_own_content(server):
    dice = np.random.default_rng(3)
    asked = []
    for number in range(48):
        temps = dice.uniform(-3, 3, size=int(dice.choice([1, 1, 1, 2, 8]))).tolist()
        body = {"inputs": rows(temps)} | ({"id": f"own {number}"} if number % 3 else {})
        fields = () if number % 4 else (f"x-request-id: router-{number}",)
        known_as = body.get("id", "") if number % 4 else f"router-{number}"
        connection = server.connect()
        connection.data_received(hot.request(json.dumps(body).encode(), *fields))
        asked.append((connection, known_as, temps))

    contents = set()
    for connection, known_as, temps in asked:
        (answer,) = await server.answers(connection, 1)
        receipt = verified(answer)
        _, probabilities = json.loads(answer.body)["outputs"]
        assert (receipt.id, receipt.rows) == (known_as, len(temps))
        assert receipt.scores == pytest.approx(probabilities["data"][1::2])
        contents.add(receipt.content)
    assert len(contents) == 48
    assert server.inference.statistics.requests == 48
    assert server.inference.statistics.executions < 12


async def test_a_refused_request_has_none(server):
    (answer,) = await server.converse(hot.request(b'{"inputs": []}'))

    assert answer.status == 400
    assert "x-modelyard-receipt" not in answer.headers


async def test_a_key_exchanged_under_load_signs_what_is_answered_from_then_on(
    server, papers, secret
):
    connections = [server.connect() for _ in range(16)]
    data = hot.request(json.dumps(OWN).encode())

    async def ask(times: int) -> None:
        for _ in range(times):
            for connection in connections:
                connection.data_received(data)
            await asyncio.sleep(0)

    await ask(20)
    for connection in connections:
        await server.answers(connection, 20)
    secret.put(key=NEXT_KEY)
    refreshing = asyncio.create_task(asyncio.to_thread(papers.refresh))
    await ask(20)
    await refreshing
    await ask(20)

    before, after = core.key_name(KEY), core.key_name(NEXT_KEY)
    for connection in connections:
        answers = await server.answers(connection, 60)
        assert {verified(answer, KEY, NEXT_KEY).id for answer in answers} == {"own"}
        names = [text_of(answer).split(".")[1] for answer in answers]
        changed = names.index(after)
        assert 20 <= changed <= 40
        assert names == [before] * changed + [after] * (60 - changed)
