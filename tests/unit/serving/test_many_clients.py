"""The real program under many clients at once: each gets the answers to its own questions."""

import asyncio
import json
from dataclasses import dataclass

import numpy as np
import pytest

from support import bundles, hot, picking, serving
from support.serving import rows

CLIENTS = 48
ASKED = 30
ALL_BINARY = {"parameters": {"binary_data_output": True}}
DTYPES = {"FP32": "<f4", "FP64": "<f8", "INT64": "<i8"}
SIZES = (1, 1, 1, 3, 16, 64)


@dataclass(frozen=True, slots=True)
class Question:
    """A request, its rows, and what the answer must hold of some outputs, row after row."""

    data: bytes
    rows: int
    wanted: dict[str, np.ndarray]


def about_rain(dice, name: str) -> Question:
    """Ask the rain model about calm rows in the north: texts beside numbers."""
    temps = dice.uniform(-3, 3, size=int(dice.choice(SIZES))).astype(np.float32)
    inputs, raw, fields = rows(temps.tolist()), b"", headers_of(dice, name)
    wish = ALL_BINARY if dice.integers(4) == 0 else {}
    if dice.integers(2):
        raw = temps.tobytes()
        del inputs[0]["data"]
        inputs[0]["parameters"] = {"binary_data_size": len(raw)}
    text = json.dumps({"id": name, "inputs": inputs, **wish}).encode()
    if raw:
        fields.append(f"inference-header-content-length: {len(text)}")
    rain = 1 / (1 + np.exp(-(temps + 0.15 + 1)))
    wanted = {"probabilities": np.column_stack([1 - rain, rain])}
    return Question(form_of(dice)(text + raw, *fields), len(temps), wanted)


def about_roots(dice, name: str) -> Question:
    """Ask a model of numbers, in any form, for any of its outputs."""
    table = picking.rows(int(dice.integers(2**32)), int(dice.choice([*SIZES, 100])))
    ask = picking.in_binary if dice.integers(2) else picking.in_json
    wish = picking.WISHES[dice.choice(["all", *picking.WISHES])]
    data = ask(table, *headers_of(dice, name), form=form_of(dice), id=name, **wish)
    known = {"root": np.sqrt(table[:, 0]), "picked": 10 * table[:, 1] + 10, "same": table}
    names = [each["name"] for each in wish.get("outputs", [])] or list(known)
    return Question(data, len(table), {each: known[each] for each in names})


def headers_of(dice, name: str) -> list[str]:
    fields = ["x-modelyard-role: canary"] if dice.integers(2) else []
    return [*fields, f"x-request-id: {name}", f"traceparent: 00-{name}-01"][: dice.integers(4)]


def form_of(dice):
    return hot.chunked if dice.integers(8) == 0 else hot.request


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, str, dict[str, np.ndarray]]:
    """Return an answer's status, id and outputs."""
    head = await reader.readuntil(b"\r\n\r\n")
    fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
    body = await reader.readexactly(int(fields[b"content-length"]))
    length = int(fields.get(b"inference-header-content-length", len(body)))
    document, raw = json.loads(body[:length]), body[length:]
    outputs = {}
    for output in document["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size", 0)
        values = np.frombuffer(raw[:size], DTYPES[output["datatype"]])
        outputs[output["name"]] = np.array(output.get("data", values)).reshape(output["shape"])
        raw = raw[size:]
    assert raw == b""
    return int(head.split()[1]), document["id"], outputs


async def send(writer: asyncio.StreamWriter, data: bytes, dice) -> None:
    """Send bytes in one piece, or in several with other clients' turns between."""
    cuts = sorted(dice.integers(1, len(data), size=int(dice.choice([0, 0, 0, 1, 3]))).tolist())
    for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        writer.write(data[begin:end])
        await writer.drain()
        await asyncio.sleep(0)


def check(wanted: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> None:
    for name, values in wanted.items():
        assert len(outputs[name]) == len(values)
        assert outputs[name].reshape(-1) == pytest.approx(values.reshape(-1), abs=1e-6)


async def ask_all_along(port: int, seed: int, draw) -> int:
    """Ask one question after another, some two at once; return the rows that were answered."""
    dice = np.random.default_rng(seed)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answered = 0
    for turn in range(ASKED):
        asked = [draw(dice, f"{seed}-{turn}-{i}") for i in range(int(dice.integers(1, 4)))]
        await send(writer, b"".join(each.data for each in asked), dice)
        for place, each in enumerate(asked):
            status, known_as, outputs = await read_answer(reader)
            assert (status, known_as) == (200, f"{seed}-{turn}-{place}")
            check(each.wanted, outputs)
            answered += each.rows
    writer.close()
    await writer.wait_closed()
    return answered


@pytest.mark.slow
@pytest.mark.parametrize(
    ("write", "draw"),
    [
        pytest.param(bundles.write, about_rain, id="texts-and-numbers"),
        pytest.param(picking.bundle, about_roots, id="numbers"),
    ],
)
async def test_each_of_many_clients_gets_its_own_answers_and_all_are_counted(tmp_path, write, draw):
    with serving.program(write(tmp_path), GRPC_PORT="off") as program:
        await asyncio.to_thread(program.wait_for, "ready: rain version 1")
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(ask_all_along(program.port, i, draw)) for i in range(CLIENTS)
            ]
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
