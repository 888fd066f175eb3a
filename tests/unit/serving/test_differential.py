"""The server against the plain reference: random models, random requests, the same answers.

`MODELYARD_FUZZ=20` makes it twenty times as long.
"""

import asyncio
import json
import os
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelyard_core.reference import NumericProfile, Profile
from support import bundles, random_models, random_requests, serving
from support.oip_reference import DTYPES, Answer, Output, Reference, to_bytes
from support.random_models import SCORE
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


@pytest.mark.slow
@given(seed=st.integers(0, 2**64))
@settings(
    max_examples=60 * TIMES,
    deadline=None,
    derandomize=TIMES == 1,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_the_application_answers_as_the_reference_does(runner, tmp_path_factory, seed):
    dice = Random(seed)
    model = random_models.draw(dice)
    folder = tmp_path_factory.mktemp("random")
    bundle = bundles.write(folder, model.data, model.signature, NO_FEATURES)
    reference = Reference(model, MAX_ROWS)

    async def ask():
        async with serving.serving(bundle, max_rows=MAX_ROWS) as served:
            for _ in range(REQUESTS):
                request = random_requests.draw(dice, model)
                headers = {} if request.json_length is None else {LENGTH: str(request.json_length)}
                found = await served.http.post(INFER, content=request.body, headers=headers)
                check(request, found, reference.answer(request.body, request.json_length))

    runner.run(ask())


def check(request: Request, found: Any, wanted: Answer) -> None:
    """Check that an answer is the wanted one, bit by bit."""
    both = f"{request}\nwanted: {wanted}\nfound: {found.status_code} {found.content!r}"
    if wanted.status != 200:
        # Where two things are wrong with a request, either may be told.
        also = {413} if wanted.status == 400 else set()
        assert found.status_code in {wanted.status, *also}, both
        assert list(found.json()) == ["error"], both
        return
    assert found.status_code == 200, both
    document, outputs = told(found)
    assert document.get("id") == wanted.id, both
    assert ("id" in document) == (wanted.id is not None), both
    assert (document["model_name"], document["model_version"]) == ("rain", "1"), both
    assert outputs == wanted.outputs, both


def told(found: Any) -> tuple[dict[str, Any], tuple[Output, ...]]:
    """Return what an answer tells, its elements as binary tensors."""
    length = found.headers.get(LENGTH)
    size = len(found.content) if length is None else int(length)
    document, rest = json.loads(found.content[:size]), found.content[size:]
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
