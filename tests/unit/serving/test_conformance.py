"""The Open Inference Protocol over HTTP, row by row: what is answered, and with which code."""

import gzip
import json
import zlib

import pytest

from modelyard_core import codec
from modelyard_core.reference import Profile
from modelyard_serving import app
from modelyard_serving.gate import Gate
from modelyard_serving.metrics import Metrics
from modelyard_serving.settings import Limits
from support import onnx_models, serving
from support.serving import INFER, check_error, rows, tensor

TEMP, WIND, STATION = rows([0.5])
RAW_DEFLATE = zlib.compress(b"{}", wbits=-zlib.MAX_WBITS)


def changed(place, **changes):
    """Return a rain request with one input changed; a change to None removes the member."""
    inputs = rows([0.5])
    inputs[place].update(changes)
    inputs[place] = {key: value for key, value in inputs[place].items() if value is not None}
    return {"inputs": inputs}


REFUSED = [
    pytest.param({}, "inputs must be an array", id="no-inputs"),
    pytest.param({"inputs": []}, "inputs is empty", id="empty-inputs"),
    pytest.param({"inputs": {}}, "inputs must be an array", id="inputs-is-an-object"),
    pytest.param({"inputs": [1]}, r"inputs\[0\] must be a JSON object", id="an-input-is-a-number"),
    pytest.param([], "the request must be a JSON object", id="a-list"),
    pytest.param({"inputs": [TEMP, WIND]}, "input 'station' is missing", id="an-input-is-missing"),
    pytest.param(
        {"inputs": [TEMP, WIND, STATION, tensor("rain", data=[1])]},
        "no input 'rain'",
        id="an-input-too-many",
    ),
    pytest.param(
        {"inputs": [TEMP, WIND, TEMP, STATION]}, "input 'temp' is there twice", id="an-input-twice"
    ),
    pytest.param(changed(0, name=None), "name must be a string", id="no-name"),
    pytest.param(changed(0, name=7), "name must be a string", id="a-name-that-is-a-number"),
    pytest.param(changed(0, datatype=None), "datatype must be a string", id="no-datatype"),
    pytest.param(changed(0, datatype="FP64"), "'temp' is FP32, not FP64", id="another-datatype"),
    pytest.param(changed(0, datatype="fp32"), "unknown datatype 'fp32'", id="lower-case-datatype"),
    pytest.param(changed(0, datatype="FP16"), "'temp' is FP32, not FP16", id="fp16-in-json"),
    pytest.param(changed(0, datatype="TENSOR"), "unknown datatype", id="an-unknown-datatype"),
    pytest.param(changed(0, shape=None), "shape must be an array of integers", id="no-shape"),
    pytest.param(changed(0, shape=[1.0, 1]), "array of integers", id="a-shape-of-floats"),
    pytest.param(changed(0, shape=[True, 1]), "array of integers", id="a-shape-of-booleans"),
    pytest.param(changed(0, shape=[-1, 1]), "has a negative size", id="a-negative-size"),
    pytest.param(changed(0, shape=[1]), r"has shape \[-1, 1\]", id="another-rank"),
    pytest.param(changed(0, shape=[1, 2], data=[1, 2]), r"shape \[-1, 1\]", id="another-width"),
    pytest.param(changed(0, shape=[2, 1], data=[1, 2]), "'temp' has 2", id="inputs-of-two-lengths"),
    pytest.param(changed(0, data=[1, 2]), "means 1 elements, data has 2", id="too-many-elements"),
    pytest.param(changed(0, data=[]), "means 1 elements, data has 0", id="too-few-elements"),
    pytest.param(changed(0, data=None), "data is missing", id="no-data"),
    pytest.param(changed(0, data=[None]), "element 0 is null", id="null-in-data"),
    pytest.param(changed(0, data=["1"]), "element 0 is a string", id="text-for-a-number"),
    pytest.param(changed(2, data=[1]), "element 0 is an integer", id="a-number-for-text"),
    pytest.param({**changed(0), "id": 7}, "id must be a string", id="an-id-that-is-a-number"),
    pytest.param({**changed(0), "parameters": 7}, "must be a JSON object", id="odd-parameters"),
    pytest.param(
        {**changed(0), "parameters": {"a": []}}, "parameter 'a' must be", id="an-odd-parameter"
    ),
    pytest.param({**changed(0), "outputs": {}}, "outputs must be an array", id="odd-outputs"),
    pytest.param(
        {**changed(0), "outputs": [{"name": "snow"}]}, "no output 'snow'", id="an-unknown-output"
    ),
    pytest.param(
        {**changed(0), "outputs": [{"name": "label"}] * 2}, "requested twice", id="an-output-twice"
    ),
    pytest.param(
        changed(0, parameters={"binary_data_size": 4}, data=None),
        "needs the header inference-header-content-length",
        id="a-binary-input-without-the-header",
    ),
    pytest.param(
        {**changed(0), "parameters": {"binary_data_output": 1}},
        "'binary_data_output' must be a boolean",
        id="binary-outputs-that-are-a-number",
    ),
    pytest.param(
        {**changed(0), "outputs": [{"name": "label", "parameters": {"binary_data": "yes"}}]},
        "output 'label': parameter 'binary_data' must be a boolean",
        id="a-binary-output-that-is-a-text",
    ),
    pytest.param(
        {**changed(0), "outputs": [{"name": "label", "parameters": {"classification": 2}}]},
        "'classification' is not supported",
        id="classification",
    ),
    pytest.param(
        changed(0, parameters={"null_is_missing": 1}),
        "'temp': null_is_missing must be a boolean",
        id="null-is-missing-as-a-number",
    ),
    pytest.param(
        changed(0, shape=[0, 2**40], data=[]), "too large for an empty tensor", id="huge-and-empty"
    ),
]


@pytest.mark.parametrize(("request_body", "sentence"), REFUSED)
async def test_a_request_that_breaks_the_contract_is_refused(rain, request_body, sentence):
    answer = await rain.http.post(INFER, json=request_body)

    check_error(answer, 400, sentence)


RAW = [
    pytest.param(b"", "the body is empty", id="an-empty-body"),
    pytest.param(b"{", "not JSON", id="broken-json"),
    pytest.param(b"\xff", "not JSON", id="bytes-that-are-no-text"),
    pytest.param(b"[" * 5000, "not JSON", id="nesting-without-end"),
    pytest.param(
        json.dumps(changed(0)).replace("0.5", "NaN").encode(), "not JSON", id="a-nan-literal"
    ),
    pytest.param(
        json.dumps(changed(0)).replace("0.5", "Infinity").encode(), "not JSON", id="an-infinity"
    ),
    pytest.param(
        json.dumps(changed(0)).replace("0.5", "1e400").encode(), "", id="a-number-without-end"
    ),
]


@pytest.mark.parametrize(("body", "sentence"), RAW)
async def test_bytes_that_are_no_request_are_refused(rain, body, sentence):
    check_error(await rain.http.post(INFER, content=body), 400, sentence)


@pytest.mark.parametrize("changes", [{"name": "\1" * 10_000}, {"shape": [1] * 10_000}])
async def test_a_sentence_is_short_whatever_it_quotes(rain, changes):
    answer = await rain.http.post(INFER, json=changed(0, **changes))

    check_error(answer, 400, "^.{999}…$")


async def test_a_request_is_answered_in_full(rain):
    answer = await rain.infer(*rows([0.0, 2.0], station=["north", "west"]), id="r-1")

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "model_name": "rain",
        "model_version": "1",
        "id": "r-1",
        "outputs": [
            {"name": "label", "datatype": "INT64", "shape": [2], "data": [1, 1]},
            {
                "name": "probabilities",
                "datatype": "FP32",
                "shape": [2, 2],
                "data": pytest.approx([0.2405, 0.7595, 0.1043, 0.8957], abs=1e-4),
            },
        ],
    }


async def test_an_id_that_was_not_sent_is_not_answered(rain):
    assert "id" not in (await rain.infer(*rows([1]))).json()
    assert (await rain.infer(*rows([1]), id="")).json()["id"] == ""
    assert (await rain.infer(*rows([1]), id='"é\n')).json()["id"] == '"é\n'


async def test_only_the_outputs_asked_for_are_answered_in_their_order(rain):
    answer = await rain.infer(
        *rows([1]), outputs=[{"name": "probabilities"}, {"name": "label", "parameters": {}}]
    )

    assert [output["name"] for output in answer.json()["outputs"]] == ["probabilities", "label"]
    one = await rain.infer(*rows([1]), outputs=[{"name": "label"}])
    assert [output["name"] for output in one.json()["outputs"]] == ["label"]
    every = await rain.infer(*rows([1]), outputs=[])
    assert len(every.json()["outputs"]) == 2


async def test_inputs_may_come_in_any_order_and_nested(rain):
    straight = await rain.infer(*rows([0.1, 0.9]))
    nested = [dict(t, data=[[value] for value in t["data"]]) for t in reversed(rows([0.1, 0.9]))]

    assert (await rain.infer(*nested)).json() == straight.json()


async def test_whole_numbers_are_floats_too_and_unknown_parameters_do_no_harm(rain):
    answer = await rain.infer(*rows([1]), parameters={"priority": 3, "trace": "x"}, extra=[])

    assert answer.status_code == 200


async def test_a_zero_batch_is_answered(rain):
    answer = await rain.infer(*rows([]))

    assert answer.status_code == 200
    assert [(o["shape"], o["data"]) for o in answer.json()["outputs"]] == [([0], []), ([0, 2], [])]


async def test_null_is_a_missing_value_where_the_input_says_so(rain):
    temp, wind, station = rows([None])
    wind["parameters"] = {"null_is_missing": True}
    wind["data"] = [None]
    temp["data"] = [0.5]

    answer = await rain.infer(temp, wind, station, outputs=[{"name": "label"}])

    assert answer.status_code == 200
    sketch = (await rain.http.get("/v1/sketch")).json()
    assert sketch["roles"]["direct"]["features"]["wind"]["missing"] == 1


async def test_more_rows_than_allowed_are_refused(rain):
    assert (await rain.infer(*rows([1.0] * 64))).status_code == 200
    check_error(await rain.infer(*rows([1.0] * 65)), 413, "65 rows; .* at most 64")


async def test_a_body_over_the_limit_is_refused_declared_or_not(rain):
    async def pieces():
        for _ in range(5):
            yield b" " * 16384

    check_error(await rain.http.post(INFER, content=b" " * 65537), 413, "over the limit of 65536")
    check_error(await rain.http.post(INFER, content=pieces()), 413, "over the limit of 65536")


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        pytest.param("gzip", gzip.compress, id="gzip"),
        pytest.param("deflate", zlib.compress, id="deflate"),
        pytest.param("identity", bytes, id="identity"),
    ],
)
async def test_a_packed_body_is_unpacked(rain, encoding, pack):
    body = pack(json.dumps(changed(0)).encode())

    answer = await rain.http.post(INFER, content=body, headers={"content-encoding": encoding})

    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("encoding", "body", "code", "sentence"),
    [
        pytest.param("br", b"x", 415, "'br' is not gzip", id="an-unknown-packing"),
        pytest.param("gzip", b"xyz", 400, "cannot be unpacked", id="no-gzip"),
        pytest.param("gzip", gzip.compress(b"{}")[:-1], 400, "cut short", id="a-short-gzip"),
        pytest.param("gzip", gzip.compress(b"{}") + b"x", 400, "something follows", id="more"),
        pytest.param("gzip", gzip.compress(b"{}") * 2, 400, "something follows", id="two-gzips"),
        pytest.param("gzip", zlib.compress(b"{}"), 400, "cannot be unpacked", id="zlib-for-gzip"),
        pytest.param(
            "deflate", gzip.compress(b"{}"), 400, "cannot be unpacked", id="gzip-for-zlib"
        ),
        pytest.param("deflate", RAW_DEFLATE, 400, "cannot be unpacked", id="deflate-without-zlib"),
        pytest.param("gzip, gzip", b"x", 415, "'gzip, gzip' is not gzip", id="packed-twice"),
        pytest.param("gzip", gzip.compress(b" " * 10**6), 413, "over the limit", id="a-bomb"),
    ],
)
async def test_a_badly_packed_body_is_refused(rain, encoding, body, code, sentence):
    answer = await rain.http.post(INFER, content=body, headers={"content-encoding": encoding})

    check_error(answer, code, sentence)


async def test_the_content_type_does_not_matter(rain):
    body = json.dumps(changed(0))

    for kind in ("application/octet-stream", "application/x-www-form-urlencoded", "nonsense"):
        answer = await rain.http.post(INFER, content=body, headers={"content-type": kind})
        assert answer.status_code == 200
    untyped = await rain.http.post(INFER, content=body)
    assert "content-type" not in untyped.request.headers
    assert untyped.status_code == 200


async def test_what_the_server_can_do_is_advertised(rain):
    extensions = (await rain.http.get("/v2")).json()["extensions"]

    assert extensions == ["binary_tensor_data", "statistics"]


async def test_health_answers_json(rain):
    assert (await rain.http.get("/v2/health/live")).json() == {"live": True}
    assert (await rain.http.get("/v2/health/ready")).json() == {"ready": True}
    assert (await rain.http.get("/v2/models/rain/ready")).json() == {"name": "rain", "ready": True}


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
async def test_the_server_describes_itself(rain, path):
    answer = await rain.http.get(path)

    assert answer.status_code == 200
    assert answer.json()["name"] == "modelyard-serving"
    assert set(answer.json()) == {"name", "version", "extensions"}


@pytest.mark.parametrize("path", ["/v2/models/rain", "/v2/models/rain/versions/1"])
async def test_the_model_describes_itself(rain, path):
    answer = await rain.http.get(path)

    assert answer.json() == {
        "name": "rain",
        "versions": ["1"],
        "platform": "onnx_onnxv1",
        "inputs": [
            {"name": "temp", "datatype": "FP32", "shape": [-1, 1]},
            {"name": "wind", "datatype": "FP32", "shape": [-1, 1]},
            {"name": "station", "datatype": "BYTES", "shape": [-1, 1]},
        ],
        "outputs": [
            {"name": "label", "datatype": "INT64", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]},
        ],
        "properties": {"digest": rain.inference.digest},
    }


async def test_the_served_version_may_be_named(rain):
    answer = await rain.http.post("/v2/models/rain/versions/1/infer", json=changed(0))

    assert answer.status_code == 200
    assert (await rain.http.get("/v2/models/rain/versions/1/ready")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "code", "sentence"),
    [
        pytest.param("GET", "/", 404, "Not Found", id="the-root"),
        pytest.param("GET", "/v2/nothing", 404, "Not Found", id="an-unknown-path"),
        pytest.param("GET", "/v2/models/snow", 404, "no model 'snow'", id="another-model"),
        pytest.param("GET", "/v2/models/snow/ready", 404, "no model", id="another-model-ready"),
        pytest.param("POST", "/v2/models/snow/infer", 404, "no model", id="another-model-infer"),
        pytest.param("GET", "/v2/models/rain/versions/2", 404, "no version '2'", id="a-version"),
        pytest.param("GET", "/v2/models/rain/versions/2/ready", 404, "no version", id="v-ready"),
        pytest.param("POST", "/v2/models/rain/versions/2/infer", 404, "no version", id="v-infer"),
        pytest.param("GET", "/v2/models/a/b/c/d", 404, "Not Found", id="a-name-with-slashes"),
        pytest.param("GET", "/v2/models/a%2Fb/ready", 404, "Not Found", id="an-escaped-slash"),
        pytest.param("GET", INFER, 405, "Method Not Allowed", id="get-infer"),
        pytest.param("POST", "/v2/health/live", 405, "Method Not Allowed", id="post-health"),
        pytest.param("DELETE", "/v2/models/rain", 405, "Method Not Allowed", id="delete-model"),
        pytest.param("POST", "/v2/repository/models/rain/load", 404, "Not Found", id="load"),
    ],
)
async def test_what_is_not_there_is_said_in_json(rain, method, path, code, sentence):
    answer = await rain.http.request(method, path)

    check_error(answer, code, sentence)
    assert ("allow" in answer.headers) is (code == 405)


@pytest.mark.parametrize("limit", ["0", "-1", "1.5", "x", "", "²", "9" * 5000])
async def test_a_limit_that_is_no_number_is_refused(rain, limit):
    check_error(await rain.http.get("/v1/answers", params={"limit": limit}), 400, "^limit=")


async def test_without_a_model_nothing_but_health_and_metrics_answers(rain_bundle):
    gate, metrics = Gate(), Metrics("rain", "1", "", "")
    async with serving.client(gate, metrics, Limits()) as http:
        for path in ("/v2/health/ready", "/v2/models/rain", "/v2/models/rain/ready", "/v1/sketch"):
            check_error(await http.get(path), 503, "the model is being loaded")
        gate.fail("the disk is gone")
        answer = await http.post(INFER, json=changed(0))

        check_error(answer, 503, "the disk is gone")
        assert answer.headers["retry-after"] == "1"
        assert (await http.get("/v2/health/live")).status_code == 200
        assert b"modelyard_ready 0.0" in (await http.get("/metrics")).content


async def test_a_draining_process_is_not_ready_but_answers(rain):
    rain.gate.drain()

    check_error(await rain.http.get("/v2/health/ready"), 503, "shutting down")
    check_error(await rain.http.get("/v2/models/rain/ready"), 503, "shutting down")
    assert (await rain.infer(*rows([1]))).status_code == 200
    assert (await rain.http.get("/v1/sketch")).json()["roles"]["direct"]["requests"] == 1


async def test_every_answer_is_counted_with_its_role_and_code(rain):
    await rain.infer(*rows([1, 2]))
    await rain.http.post(INFER, json=changed(0), headers={"x-modelyard-role": "canary"})
    await rain.http.post(INFER, content=b"{", headers={"x-modelyard-role": "canary"})

    text = (await rain.http.get("/metrics")).text

    who = 'model="rain",role="{}",version="1"'
    for line in (
        'modelyard_requests_total{code="200",' + who.format("direct") + "} 1.0",
        'modelyard_requests_total{code="200",' + who.format("canary") + "} 1.0",
        'modelyard_requests_total{code="400",' + who.format("canary") + "} 1.0",
        "modelyard_request_duration_seconds_count{" + who.format("canary") + "} 2.0",
        "modelyard_rows_total{" + who.format("direct") + "} 2.0",
        'modelyard_rejected_total{reason="InvalidRequest"} 1.0',
        "modelyard_inflight_requests 0.0",
        "modelyard_ready 1.0",
    ):
        assert line in text.splitlines()


class Broken(Gate):
    """A part with a bug."""

    def inference(self):
        raise RuntimeError("secret detail")


async def test_a_bug_is_an_answer_without_details_and_is_counted():
    metrics = Metrics("rain", "1", "", "")
    async with serving.client(Broken(), metrics, Limits()) as http:
        check_error(await http.post(INFER, json=changed(0)), 500, "^internal error$")
        check_error(await http.get("/v1/profile"), 500, "^internal error$")

    assert b'code="500",model="rain",role="direct",version="1"} 1.0' in metrics.render()


async def test_a_client_that_goes_away_is_counted_as_such(rain):
    async def receive():
        return {"type": "http.disconnect"}

    sent = []

    async def send(message):
        sent.append(message)

    application = app.create_app(rain.gate, rain.metrics, Limits())
    scope = {"type": "http", "method": "POST", "path": INFER, "headers": [], "query_string": b""}
    await application({**scope, "root_path": "", "http_version": "1.1"}, receive, send)

    assert sent[0]["status"] == 499
    assert b'modelyard_rejected_total{reason="ClientDisconnect"} 1.0' in rain.metrics.render()


async def test_the_profile_is_served_as_it_was_verified(rain):
    answer = await rain.http.get("/v1/profile")

    assert answer.content == rain.inference.profile
    assert codec.loads(Profile, answer.content) == onnx_models.RAIN_PROFILE
