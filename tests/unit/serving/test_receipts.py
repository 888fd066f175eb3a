"""A receipt with every answer, where a key is mounted, and none anywhere else."""

import asyncio
import hashlib

import httpx
import numpy as np
import pytest

from modelyard_core import receipts as core
from modelyard_serving import app, rotation
from modelyard_serving.metrics import Metrics
from modelyard_serving.receipts import NONE, BadKey, Receipts
from modelyard_serving.settings import Limits, parse_serve
from support.serving import INFER, program, rows

KEY, NEXT_KEY = b"first-key-of-32-bytes-or-so-......", b"second-key-of-32-bytes-or-so-....."
REQUEST = {"id": "own", "inputs": rows([0.5, 2.0])}
BINARY = {"id": "own", "inputs": rows([0.5]), "parameters": {"binary_data_output": True}}


@pytest.fixture
def key(tmp_path):
    """A Secret as Kubernetes mounts it."""
    mount(tmp_path, "1", KEY + b"\n")
    return tmp_path / "key"


def mount(folder, name, text):
    """Turn the mount to another content, in one step."""
    (folder / name).mkdir()
    (folder / name / "key").write_bytes(text)
    (folder / "..new").symlink_to(name)
    (folder / "..new").rename(folder / "..data")
    if not (folder / "key").is_symlink():
        (folder / "key").symlink_to("..data/key")


@pytest.fixture
async def signing(rain, key):
    """The application with receipts."""
    papers = Receipts(key, lambda _: None)
    application = app.create_app(rain.gate, Metrics("rain", "1", "", ""), Limits(), papers)
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://rain") as http:
        yield http


@pytest.mark.parametrize(
    ("body", "headers", "known_as"),
    [
        pytest.param(REQUEST, {}, "own", id="json"),
        pytest.param(BINARY, {}, "own", id="binary"),
        pytest.param(REQUEST, {"x-request-id": "routers"}, "routers", id="the-routers-id"),
        pytest.param({"inputs": rows([0.5])}, {}, "", id="no-id"),
        pytest.param(REQUEST, {"accept-encoding": "gzip"}, "own", id="packed"),
        pytest.param(
            {"id": "x" * 200, "inputs": rows([0.5])},
            {},
            "sha256:" + hashlib.sha256(b"x" * 200).hexdigest(),
            id="a-long-id",
        ),
    ],
)
async def test_every_answer_has_a_receipt(rain, signing, body, headers, known_as):
    answer = await signing.post(INFER, json=body, headers=headers)

    receipt = core.verify(answer.headers["x-modelyard-receipt"], [KEY], answer.content)
    assert (receipt.model, receipt.version, receipt.digest) == ("rain", "1", rain.inference.digest)
    assert receipt.id == known_as
    assert receipt.rows == len(receipt.scores) == body["inputs"][0]["shape"][0]


async def test_scores_are_those_of_the_answer(signing):
    answer = await signing.post(INFER, json=REQUEST)

    receipt = core.verify(answer.headers["x-modelyard-receipt"], [KEY])
    (probabilities,) = [o for o in answer.json()["outputs"] if o["name"] == "probabilities"]
    assert receipt.scores == pytest.approx(probabilities["data"][1::2])


async def test_a_refused_request_has_none(signing):
    answer = await signing.post(INFER, json={"inputs": []})

    assert answer.status_code == 400
    assert "x-modelyard-receipt" not in answer.headers


async def test_there_are_none_without_a_key(rain):
    answer = await rain.http.post(INFER, json=REQUEST)

    assert "x-modelyard-receipt" not in answer.headers
    assert not NONE.enabled


def sign(papers):
    class Rain:
        name, version, digest = "rain", "1", "sha256:ab"

    return papers.write(Rain(), "r-1", np.array([0.5]), b"")


def test_a_rotated_key_is_taken_over_and_a_broken_one_is_not(key):
    seen = []
    papers = Receipts(key, seen.append)

    mount(key.parent, "2", NEXT_KEY)
    papers.refresh()
    papers.refresh()
    mount(key.parent, "3", b"short")
    papers.refresh()
    papers.refresh()  # a file that stays broken is told once

    assert core.verify(sign(papers), [NEXT_KEY]).id == "r-1"
    assert seen == [rotation.TAKEN, rotation.TAKEN, rotation.REFUSED]


@pytest.mark.parametrize("text", [b"", b"short", b" " * 40, b"x" * 5000])
def test_a_file_without_a_key_is_told_at_once(tmp_path, text):
    (tmp_path / "key").write_bytes(text)

    with pytest.raises(BadKey, match="holds no key of at least 16 bytes"):
        Receipts(tmp_path / "key", lambda _: None)
    with pytest.raises(BadKey):
        Receipts(tmp_path / "absent", lambda _: None)


def test_the_key_is_named_by_a_setting():
    told = {"MODEL_NAME": "rain", "MODEL_VERSION": "1", "DIGEST": "d", "RECEIPT_KEY_FILE": "/k/key"}

    found = parse_serve({f"MODELYARD_{name}": value for name, value in told.items()})

    assert str(found.receipt_key_file) == "/k/key"


@pytest.mark.slow
async def test_the_program_signs_and_follows_a_rotation(rain_bundle, key):
    with program(rain_bundle, RECEIPT_KEY_FILE=key, ROTATION_SECONDS=0.05) as running:
        async with running.client() as http:
            running.wait_for("ready: rain")
            first = await http.post(INFER, json=REQUEST)
            mount(key.parent, "2", NEXT_KEY)
            await asyncio.to_thread(running.wait_for, core.key_name(NEXT_KEY))
            second = await http.post(INFER, json=REQUEST)

    for answer, secret in ((first, KEY), (second, NEXT_KEY)):
        core.verify(answer.headers["x-modelyard-receipt"], [secret], answer.content)
