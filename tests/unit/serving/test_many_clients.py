"""The real program under many clients at once: each gets the answers to its own questions."""

import asyncio
import json

import numpy as np
import pytest

from support import hot, serving
from support.serving import rows

CLIENTS = 64
ASKED = 30


def expected(temps) -> list[float]:
    """Return what the rain model says for calm rows in the north."""
    return (1 / (1 + np.exp(-(np.array(temps) + 0.15 + 1)))).tolist()


def question(dice, name: str) -> tuple[bytes, list[float]]:
    """Draw a request in one of the forms that clients use, and the probabilities it must get."""
    temps = dice.uniform(-3, 3, size=int(dice.choice([1, 1, 1, 3, 16]))).round(3).tolist()
    fields = ("x-modelyard-role: canary",) if dice.integers(2) else ()
    if dice.integers(2):
        fields = (*fields, f"x-request-id: {name}", f"traceparent: 00-{name}-01")
    body = json.dumps({"id": name, "inputs": rows(temps)}).encode()
    form = hot.chunked if dice.integers(8) == 0 else hot.request
    return form(body, *fields), expected(temps)


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict]:
    head = await reader.readuntil(b"\r\n\r\n")
    fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
    body = await reader.readexactly(int(fields[b"content-length"]))
    return int(head.split()[1]), json.loads(body)


async def send(writer: asyncio.StreamWriter, data: bytes, dice) -> None:
    """Send bytes in one piece, or in several with other clients' turns between."""
    cuts = sorted(dice.integers(1, len(data), size=int(dice.choice([0, 0, 0, 1, 3]))).tolist())
    for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        writer.write(data[begin:end])
        await writer.drain()
        await asyncio.sleep(0)


async def ask_all_along(port: int, seed: int) -> int:
    """Ask one question after another, some two at once; return the rows that were answered."""
    dice = np.random.default_rng(seed)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answered = 0
    for turn in range(ASKED):
        pairs = [question(dice, f"{seed}-{turn}-{i}") for i in range(int(dice.integers(1, 3)))]
        await send(writer, b"".join(data for data, _ in pairs), dice)
        for place, (_, wanted) in enumerate(pairs):
            status, answer = await read_answer(reader)
            got = answer["outputs"][1]["data"][1::2]
            assert (status, answer["id"]) == (200, f"{seed}-{turn}-{place}")
            assert got == pytest.approx(wanted, abs=1e-6)
            answered += len(wanted)
    writer.close()
    await writer.wait_closed()
    return answered


@pytest.mark.slow
async def test_each_of_many_clients_gets_its_own_answers_and_all_are_counted(rain_bundle):
    with serving.program(rain_bundle, GRPC_PORT="off") as program:
        await asyncio.to_thread(program.wait_for, "ready: rain version 1")
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(ask_all_along(program.port, i)) for i in range(CLIENTS)]
        async with program.client() as http:
            sketch = (await http.get("/v1/sketch")).json()
            stats = (await http.get("/v2/models/rain/stats")).json()["model_stats"][0]

    answered = sum(task.result() for task in tasks)
    assert sum(role["rows"] for role in sketch["roles"].values()) == answered
    assert stats["inference_count"] == answered
    assert set(sketch["roles"]) == {"canary", "direct"}
    requests = stats["inference_stats"]["success"]["count"]
    assert sum(role["requests"] for role in sketch["roles"].values()) == requests
    assert stats["execution_count"] < requests
