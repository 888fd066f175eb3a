"""The OpenAPI document says what is served: no path more or less, and real answers keep it."""

import json
import re
from html.parser import HTMLParser

import jsonschema_rs
import pytest

from modelyard_core.signature import Signature, Tensor
from modelyard_serving import app, openapi, tensor_schemas
from modelyard_serving.gate import Gate
from modelyard_serving.metrics import Metrics
from modelyard_serving.settings import Limits
from support import serving
from support.serving import INFER, check_error, rows, tensor


@pytest.fixture
async def document(rain):
    answer = await rain.http.get("/openapi.json")
    assert answer.status_code == 200
    return answer.json()


def checked(document, schema, value):
    whole = {**document["components"]["schemas"][schema], "components": document["components"]}
    return jsonschema_rs.is_valid(whole, value)


async def test_every_route_is_described_and_nothing_else(rain, document):
    described = {
        (method.upper(), path) for path, methods in document["paths"].items() for method in methods
    }
    served = {
        (method, route.path.format(name="rain", version="1"))
        for route in app.create_app(rain.gate, rain.metrics, Limits()).routes
        for method in route.methods
    }

    assert described == served


async def test_every_get_answers_what_the_document_says(rain, document):
    await rain.infer(*rows([0.5]))
    for path, methods in document["paths"].items():
        if "get" not in methods:
            continue
        answer = await rain.http.get(path)
        stated = methods["get"]["responses"][str(answer.status_code)]
        kind = answer.headers["content-type"].partition(";")[0]
        schema = stated["content"][kind]["schema"]
        value = answer.json() if kind == "application/json" else answer.text

        assert jsonschema_rs.is_valid({**schema, "components": document["components"]}, value), path


async def test_the_example_is_answered_as_the_document_says(rain, document):
    operation = document["paths"][INFER]["post"]
    example = operation["requestBody"]["content"]["application/json"]["examples"]["one_row"][
        "value"
    ]

    answer = await rain.http.post(INFER, json=example)

    assert answer.status_code == 200
    assert checked(document, "Request", example)
    assert checked(document, "Answer", answer.json())
    assert checked(document, "Error", (await rain.http.post(INFER, json={})).json())


def changed(**changes):
    inputs = rows([0.5])
    inputs[0].update(changes)
    return {"inputs": inputs}


@pytest.mark.parametrize(
    "request_body",
    [
        pytest.param({}, id="no-inputs"),
        pytest.param({"inputs": rows([0.5])[:2]}, id="an-input-is-missing"),
        pytest.param(changed(name="snow"), id="another-name"),
        pytest.param(changed(datatype="FP64"), id="another-datatype"),
        pytest.param(changed(shape=[1]), id="another-rank"),
        pytest.param(changed(shape=[1, 2], data=[1, 2]), id="another-width"),
        pytest.param(changed(shape=[-1, 1]), id="a-negative-size"),
        pytest.param(changed(data=["1"]), id="text-for-a-number"),
        pytest.param(changed(data=[[1, 2]]), id="too-wide"),
        pytest.param(changed(data=[1e39]), id="out-of-range"),
        pytest.param(changed(parameters={"a": []}), id="an-odd-parameter"),
        pytest.param({**changed(), "id": 7}, id="an-id-that-is-a-number"),
        pytest.param({**changed(), "outputs": [{"name": "snow"}]}, id="an-unknown-output"),
        pytest.param(
            {**changed(), "parameters": {"binary_data_output": 1}}, id="a-flag-that-is-a-number"
        ),
        pytest.param({**changed(), "parameters": {"classification": 2}}, id="classification"),
    ],
)
async def test_what_the_schema_refuses_the_server_refuses(rain, document, request_body):
    assert not checked(document, "Request", request_body)
    assert (await rain.http.post(INFER, json=request_body)).status_code == 400


@pytest.mark.parametrize(
    "request_body",
    [
        pytest.param({"inputs": rows([])}, id="no-rows"),
        pytest.param({"inputs": list(reversed(rows([0.5])))}, id="another-order"),
        pytest.param(changed(data=[[1]]), id="nested"),
        pytest.param(
            {
                "inputs": [
                    *rows([0.5])[:2],
                    tensor(
                        "station", "BYTES", (1, 1), [None], parameters={"null_is_missing": True}
                    ),
                ]
            },
            id="missing",
        ),
        pytest.param({**changed(), "id": None, "outputs": None, "parameters": None}, id="nulls"),
        pytest.param(
            {**changed(), "parameters": {"priority": 3}, "more": []}, id="unknown-members"
        ),
        pytest.param(
            {**changed(), "outputs": [{"name": "label", "parameters": {"binary_data": False}}]},
            id="an-output-asked-for",
        ),
    ],
)
async def test_what_the_server_takes_the_schema_allows(rain, document, request_body):
    assert (await rain.http.post(INFER, json=request_body)).status_code == 200
    assert checked(document, "Request", request_body)


def test_tensors_of_every_kind_have_a_schema():
    inputs = (
        Tensor("flag", "BOOL", ()),
        Tensor("small", "INT8", (2,)),
        Tensor("half", "FP16", (-1,)),
        Tensor("text", "BYTES", (-1, 2)),
    )
    signature = Signature("Regression", inputs, (Tensor("y", "FP32", (-1,)),), score="y")
    validator = jsonschema_rs.validator_for(tensor_schemas.request(signature))
    example = tensor_schemas.example(signature)

    def takes(place, data):
        asked = json.loads(json.dumps(example))
        del asked["inputs"][2]
        asked["inputs"].append(asked["inputs"][0])
        asked["inputs"][place]["data"] = data
        return validator.is_valid(asked)

    assert [tensor["shape"] for tensor in example["inputs"]] == [[], [2], [1], [1, 2]]
    assert not validator.is_valid(example)  # half floats have no JSON form
    assert takes(0, True)
    assert takes(0, [False])
    assert not takes(0, 1)
    assert takes(1, [-128, 127])
    assert not takes(1, [-129, 0])
    assert not takes(1, [None, 0])
    assert takes(2, ["a", None])
    assert takes(2, [["a", "b"]])
    assert not takes(2, [["a"]])


@pytest.mark.parametrize(
    ("datatype", "kinds"),
    [
        pytest.param("FP32", {"application/json", "application/octet-stream"}, id="fp32"),
        pytest.param("BF16", {"application/octet-stream"}, id="half-floats"),
    ],
)
def test_only_bodies_that_the_model_can_take_are_described(datatype, kinds):
    signature = Signature("Regression", (Tensor("x", datatype, (-1,)),), (), score="")
    paths = openapi.document(openapi.Service("rain", "1", "", signature, 1, "0"))["paths"]

    assert set(paths[INFER]["post"]["requestBody"]["content"]) == kinds


def test_names_are_quoted_in_paths():
    signature = Signature("Regression", (Tensor("x", "FP32", (-1,)),), (), score="")
    paths = openapi.document(openapi.Service("a b", "1/2", "", signature, 1, "0"))["paths"]

    assert "/v2/models/a%20b/versions/1%2F2/infer" in paths


class Page(HTMLParser):
    """What a page shows and what it would load."""

    def __init__(self, text):
        super().__init__()
        self.shown, self.loaded = "", []
        self.feed(text)

    def handle_data(self, data):
        self.shown += data

    def handle_starttag(self, tag, attrs):
        self.loaded += [value for name, value in attrs if name in ("src", "action")]
        self.loaded += [dict(attrs)["href"]] if tag == "link" else []


async def test_the_page_shows_every_operation_and_loads_nothing(rain, document):
    answer = await rain.http.get("/docs")
    page = Page(answer.text)

    assert answer.headers["content-type"].startswith("text/html")
    assert page.loaded == []
    assert not re.search(r"https?://|<script|@import|url\(", answer.text)
    for path, methods in document["paths"].items():
        assert path in page.shown
        assert all(operation["summary"] in page.shown for operation in methods.values())
    assert '"datatype": "BYTES"' in page.shown


async def test_without_a_model_there_is_nothing_to_describe():
    async with serving.client(Gate(), Metrics("rain", "1", "", ""), Limits()) as http:
        for path in ("/docs", "/openapi.json"):
            check_error(await http.get(path), 503, "being loaded")
