"""The server against the plain reference: random models, random requests, the same answers.

`MODELYARD_FUZZ=20` makes it twenty times as long.
"""

import asyncio
import dataclasses
import json
import os
from collections.abc import Mapping
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelyard_core.reference import NumericProfile, Profile
from modelyard_core.signature import Signature
from modelyard_serving import loading
from modelyard_serving.errors import Unservable
from support import bundles, hot, random_models, random_requests, serving
from support.oip_reference import DTYPES, Answer, Output, Reference, to_bytes
from support.random_models import SCORE, RandomModel
from support.random_requests import Request
from support.serving import INFER

LENGTH = "inference-header-content-length"
MAX_ROWS = 3
REQUESTS = 25
TIMES = int(os.environ.get("MODELYARD_FUZZ", "1"))
NO_FEATURES = Profile(1, (), (), NumericProfile(SCORE, (0.25,), (0, 1), 0, 0.0, 1.0))


@pytest.fixture(scope="module")
def runner():
    with asyncio.Runner() as runner:
        yield runner


PROFILE = settings(
    max_examples=100 * TIMES,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@pytest.fixture
def drawn(tmp_path_factory):
    """Return from a seed a bundle, and requests with the answers that they must get."""

    def draw(seed: int) -> tuple[bundles.Bundle, list[tuple[Request, Answer]]]:
        dice = Random(seed)
        model = random_models.draw(dice)
        folder = tmp_path_factory.mktemp("random")
        reference = Reference(model, MAX_ROWS)
        asked = [random_requests.draw(dice, model) for _ in range(REQUESTS)]
        pairs = [(each, reference.answer(each.body, each.json_length)) for each in asked]
        return bundles.write(folder, model.data, model.signature, NO_FEATURES), pairs

    return draw


@pytest.mark.slow
@given(seed=st.integers(0, 2**64))
@PROFILE
def test_the_application_answers_as_the_reference_does(runner, drawn, seed):
    bundle, pairs = drawn(seed)

    async def ask():
        async with serving.serving(bundle, max_rows=MAX_ROWS) as served:
            for request, wanted in pairs:
                headers = {} if request.json_length is None else {LENGTH: str(request.json_length)}
                found = await served.http.post(INFER, content=request.body, headers=headers)
                check(request, wanted, Found(found.status_code, found.headers, found.content))

    runner.run(ask())


@pytest.mark.slow
@given(seed=st.integers(0, 2**64))
@PROFILE
def test_requests_that_come_together_are_answered_as_the_reference_does(runner, drawn, seed):
    bundle, pairs = drawn(seed)
    # Neighbours of one form share a run.
    pairs.sort(key=lambda pair: pair[0].json_length is not None)

    async def ask():
        async with hot.hot(bundle, max_rows=MAX_ROWS) as server:
            connections = [server.connect() for _ in pairs]
            for connection, (request, _) in zip(connections, pairs, strict=True):
                length = request.json_length
                fields = () if length is None else (f"{LENGTH}: {length}",)
                connection.data_received(hot.request(request.body, *fields))
            for connection, (request, wanted) in zip(connections, pairs, strict=True):
                (found,) = await server.answers(connection, 1)
                check(request, wanted, Found(found.status, found.headers, found.body))

    runner.run(ask())


def wrong(dice: Random, model: RandomModel) -> Signature:
    """Return a signature of the model in which one thing is not true."""
    side = dice.choice(("inputs", "outputs"))
    tensors = list(getattr(model.signature, side))
    at = dice.randrange(len(tensors))
    tensor = tensors[at]
    last = tensor.shape[-1] if tensor.shape else 1
    changes = {
        "name": {"name": "another"},
        "datatype": {"datatype": "FP64" if tensor.datatype == "INT8" else "INT8"},
        "rank": {"shape": (*tensor.shape, 1)},
        "size": {"shape": (*tensor.shape[:-1], last + 8)},
    }
    ways = ["score", "order", "gone", "name", "datatype"]
    if side == "outputs" or model.inputs[at].is_declared:
        ways += ["rank", "size"]  # else the signature alone says them
    match dice.choice(ways):
        case "score":
            return dataclasses.replace(model.signature, score="another")
        case "order" if len(tensors) > 1:
            tensors.reverse()
        case "gone" | "order":
            del tensors[at]
        case way:
            tensors[at] = dataclasses.replace(tensor, **changes[way])
    return dataclasses.replace(model.signature, **{side: tuple(tensors)})


@pytest.mark.slow
@given(seed=st.integers(0, 2**64))
@settings(PROFILE, max_examples=100 * TIMES)
def test_a_signature_with_one_untruth_is_never_served(tmp_path_factory, seed):
    dice = Random(seed)
    model = random_models.draw(dice)
    untrue = wrong(dice, model)
    bundle = bundles.write(tmp_path_factory.mktemp("random"), model.data, untrue, NO_FEATURES)

    with pytest.raises(Unservable):
        loading.load(serving.settings(bundle), lambda *_: None)


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """What the server answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def check(request: Request, wanted: Answer, found: Found) -> None:
    """Check that an answer is the wanted one, bit by bit."""
    both = f"{request}\nwanted: {wanted}\nfound: {found}"
    if wanted.status != 200:
        # Where two things are wrong with a request, either may be told.
        also = {413} if wanted.status == 400 else set()
        assert found.status in {wanted.status, *also}, both
        assert list(json.loads(found.body)) == ["error"], both
        return
    assert found.status == 200, both
    document, outputs = told(found)
    assert document.get("id") == wanted.id, both
    assert ("id" in document) == (wanted.id is not None), both
    assert (document["model_name"], document["model_version"]) == ("rain", "1"), both
    assert outputs == wanted.outputs, both


def told(found: Found) -> tuple[dict[str, Any], tuple[Output, ...]]:
    """Return what an answer tells, its elements as binary tensors."""
    length = found.headers.get(LENGTH)
    size = len(found.body) if length is None else int(length)
    document, rest = json.loads(found.body[:size]), found.body[size:]
    outputs = []
    for output in document["outputs"]:
        is_binary = "data" not in output
        if is_binary:
            size = output["parameters"]["binary_data_size"]
            elements, rest = rest[:size], rest[size:]
        else:
            flat = np.array(output["data"], dtype=DTYPES.get(output["datatype"], object))
            assert flat.ndim == 1
            elements = to_bytes(output["datatype"], flat)
        shape = tuple(output["shape"])
        outputs.append(Output(output["name"], output["datatype"], shape, elements, is_binary))
    assert rest == b""
    assert (length is not None) == any(output.is_binary for output in outputs)
    return document, tuple(outputs)
