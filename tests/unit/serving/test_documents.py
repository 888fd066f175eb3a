"""MessagePack for programs, JSON for people."""

import doctest

import msgspec
import pytest

from modelyard_core import codec
from modelyard_core.sketch import SCHEMA, Sketch
from modelyard_serving import counting, documents
from support.serving import INFER, rows


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        pytest.param(None, "application/json", id="nothing"),
        pytest.param("*/*", "application/json", id="curl"),
        pytest.param("application/*", "application/json", id="a-wildcard"),
        pytest.param("application/json", "application/json", id="json"),
        pytest.param("application/vnd.msgpack", "application/vnd.msgpack", id="msgpack"),
        pytest.param("application/x-msgpack", "application/vnd.msgpack", id="its-old-name"),
        pytest.param("APPLICATION/MSGPACK;q=1", "application/vnd.msgpack", id="its-case"),
        pytest.param(
            "application/vnd.msgpack, application/json;q=0.5", "application/vnd.msgpack", id="both"
        ),
        pytest.param(
            "application/json, application/msgpack;q=0.5", "application/json", id="rather"
        ),
        pytest.param("application/msgpack;q=0", "application/json", id="refused"),
        pytest.param("application/msgpack;q=high", "application/json", id="unreadable"),
    ],
)
async def test_a_sketch_has_the_form_that_is_asked_for(rain, accept, expected):
    await rain.http.post(INFER, json={"inputs": rows([0.5])})
    headers = {} if accept is None else {"accept": accept}

    answer = await rain.http.get("/v1/sketch", headers=headers)

    assert answer.headers["content-type"] == expected
    assert answer.headers["vary"] == "accept"
    packed = expected == documents.MSGPACK
    found = msgspec.msgpack.decode(answer.content) if packed else answer.json()
    sketch = codec.decode(Sketch, found)
    assert sketch.roles["direct"].rows == 1
    assert sketch.schema_version == SCHEMA


@pytest.mark.parametrize("module", [documents, counting])
def test_the_examples_in_the_docstrings_hold(module):
    assert doctest.testmod(module).failed == 0
