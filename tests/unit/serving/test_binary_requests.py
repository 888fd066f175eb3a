"""Binary tensors over HTTP: sent, asked for, mixed with JSON, and cut wrongly."""

import gzip
import json
import struct
import zlib

import numpy as np
import pytest
from onnx import TensorProto, helper

from modelyard_core.signature import Signature, Tensor
from modelyard_serving import codec
from support import bundles, onnx_models, serving
from support.serving import INFER, rows

LENGTH = "inference-header-content-length"
STATIONS = b"\5\0\0\0north\5\0\0\0south"
TEMPS = struct.pack("<2f", 0.0, 2.0)


def split(answer):
    """Return an answer's JSON, and its binary tensors by name."""
    assert answer.status_code == 200, answer.text
    if LENGTH not in answer.headers:
        assert answer.headers["content-type"] == "application/json"
        return answer.json(), {}
    assert answer.headers["content-type"] == "application/octet-stream"
    length = int(answer.headers[LENGTH])
    document, rest = json.loads(answer.content[:length]), answer.content[length:]
    tensors = {}
    for output in document["outputs"]:
        if "parameters" in output:
            assert "data" not in output
            size = output["parameters"]["binary_data_size"]
            tensors[output["name"]], rest = rest[:size], rest[size:]
    assert rest == b""
    return document, tensors


def binary_rain():
    """Return two rows whose temperature and station are binary, and these bytes."""
    temp, wind, station = rows([0.0, 2.0], station=["north", "south"])
    for part, raw in ((temp, TEMPS), (station, STATIONS)):
        del part["data"]
        part["parameters"] = {"binary_data_size": len(raw)}
    return [temp, wind, station], TEMPS + STATIONS


async def post(served, inputs, raw=b"", length=None, headers=(), **more):
    head = json.dumps({"inputs": inputs, **more}).encode()
    sent = {LENGTH: str(len(head) if length is None else length), **dict(headers)}
    return await served.http.post(INFER, content=head + raw, headers=sent)


async def test_binary_and_json_inputs_mean_the_same(rain):
    inputs, raw = binary_rain()

    mixed = await post(rain, inputs, raw)
    plain = await rain.infer(*rows([0.0, 2.0], station=["north", "south"]))

    assert split(mixed) == split(plain)


async def test_outputs_come_as_bytes_where_they_are_asked_for_so(rain):
    inputs, raw = binary_rain()
    as_json = (await post(rain, inputs, raw)).json()["outputs"]
    expected = {
        "label": np.array(as_json[0]["data"], "<i8").tobytes(),
        "probabilities": np.array(as_json[1]["data"], "<f4").tobytes(),
    }

    both, tensors = split(
        await post(rain, inputs, raw, id="é", parameters={"binary_data_output": True})
    )
    assert both["id"] == "é"
    assert both["outputs"][1] == {
        "name": "probabilities",
        "datatype": "FP32",
        "shape": [2, 2],
        "parameters": {"binary_data_size": 16},
    }
    assert tensors == expected

    wanted = [{"name": "probabilities", "parameters": {"binary_data": True}}, {"name": "label"}]
    one, tensors = split(
        await rain.http.post(INFER, json={"inputs": rows([0.0]), "outputs": wanted})
    )
    assert list(tensors) == ["probabilities"]
    assert one["outputs"][1]["data"] == [1]

    wanted = [{"name": "label", "parameters": {"binary_data": False}}, {"name": "probabilities"}]
    other, tensors = split(
        await post(rain, inputs, raw, outputs=wanted, parameters={"binary_data_output": True})
    )
    assert list(tensors) == ["probabilities"]
    assert other["outputs"][0]["data"] == as_json[0]["data"]


async def test_a_header_that_covers_the_whole_json_is_plain_json(rain):
    assert (await post(rain, rows([1.0]))).status_code == 200


async def test_an_empty_batch_may_be_binary(rain):
    inputs = rows([])
    for part in inputs:
        del part["data"]
        part["parameters"] = {"binary_data_size": 0}

    document, tensors = split(await post(rain, inputs, parameters={"binary_data_output": True}))

    assert [output["shape"] for output in document["outputs"]] == [[0], [0, 2]]
    assert tensors == {"label": b"", "probabilities": b""}


async def test_nan_in_binary_is_a_missing_value(rain):
    temp, wind, station = rows([0.0])
    del temp["data"]
    temp["parameters"] = {"binary_data_size": 4}

    answer = await post(
        rain,
        [temp, wind, station],
        struct.pack("<f", float("nan")),
        outputs=[{"name": "probabilities", "parameters": {"binary_data": True}}],
    )
    _, tensors = split(answer)
    sketch = (await rain.http.get("/v1/sketch")).json()

    assert np.isnan(np.frombuffer(tensors["probabilities"], "<f4")).all()
    assert sketch["roles"]["direct"]["features"]["temp"]["missing"] == 1


def resized(size, **more):
    inputs, _ = binary_rain()
    inputs[0]["parameters"] = {"binary_data_size": size}
    inputs[0].update(more)
    return inputs


GOOD, RAW = binary_rain()
HEAD = len(json.dumps({"inputs": GOOD}))


@pytest.mark.parametrize(
    ("inputs", "raw", "length", "sentence"),
    [
        pytest.param(GOOD, RAW[:-1], None, "'station': .* is 18, 17 bytes are left", id="short"),
        pytest.param(GOOD, RAW + b"x", None, "1 bytes follow the last", id="long"),
        pytest.param(GOOD, b"", None, "'temp': .* is 8, 0 bytes are left", id="nothing"),
        pytest.param(resized(4), RAW[4:], None, "means 8 bytes, not 4", id="size-is-not-shape"),
        pytest.param(resized(-1), RAW, None, "must be a number of bytes", id="a-negative-size"),
        pytest.param(resized(8.0), RAW, None, "must be a number of bytes", id="a-size-of-8.0"),
        pytest.param(resized(True), RAW, None, "must be a number of bytes", id="a-size-of-true"),
        pytest.param(resized(2**62), RAW, None, "bytes are left", id="an-endless-size"),
        pytest.param(resized(8, data=[0, 2]), RAW, None, "has both data and", id="data-too"),
        pytest.param(GOOD, RAW, HEAD + 1, "not JSON", id="a-length-too-long"),
        pytest.param(GOOD, RAW, HEAD - 1, "not JSON", id="a-length-too-short"),
        pytest.param(GOOD, RAW, 10_000, "is 10000, the body has", id="longer-than-the-body"),
        pytest.param(GOOD, RAW, "abc", "is 'abc', which is no number", id="a-length-of-letters"),
        pytest.param(GOOD, RAW, "-1", "which is no number", id="a-negative-length"),
        pytest.param(GOOD, RAW, "1e3", "which is no number", id="a-length-with-an-exponent"),
        pytest.param(GOOD, RAW, "", "which is no number", id="an-empty-length"),
        pytest.param(GOOD, RAW, "9" * 5000, "which is no number", id="a-length-without-end"),
        pytest.param(GOOD, RAW, 0, "needs a model with one input", id="raw-with-three-inputs"),
        pytest.param(
            [*GOOD[:2], rows([1.0])[2]], RAW[:8], None, "'station' has 1 where", id="two-lengths"
        ),
    ],
)
async def test_bytes_that_do_not_add_up_are_refused(rain, inputs, raw, length, sentence):
    answer = await post(rain, inputs, raw, length)

    serving.check_error(answer, 400, sentence)


async def test_two_headers_with_the_length_are_refused(rain):
    head = json.dumps({"inputs": GOOD}).encode()
    sent = [(LENGTH, str(len(head)))] * 2

    answer = await rain.http.post(INFER, content=head + RAW, headers=sent)

    serving.check_error(answer, 400, "is there 2 times")


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress], ids=["gzip", "deflate"])
async def test_the_length_counts_bytes_before_they_are_packed(rain, pack):
    inputs, raw = binary_rain()
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    encoding = {gzip.compress: "gzip", zlib.compress: "deflate"}[pack]

    answer = await rain.http.post(
        INFER,
        content=pack(head + raw),
        headers={LENGTH: str(len(head)), "content-encoding": encoding},
    )

    assert set(split(answer)[1]) == {"label", "probabilities"}


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_large_answer_is_packed_for_who_takes_that(rain, encoding):
    inputs = rows([0.5] * 64)
    wish = {"accept-encoding": f"br, {encoding};q=0.5"}
    plain = await rain.http.post(INFER, json={"inputs": inputs}, headers={"accept-encoding": ""})

    packed = await rain.http.post(INFER, json={"inputs": inputs}, headers=wish)
    binary = await post(
        rain, inputs, headers=wish, parameters={"binary_data_output": True}, id="x" * 1024
    )
    small = await rain.http.post(INFER, json={"inputs": rows([0.5])}, headers=wish)

    assert packed.headers["content-encoding"] == binary.headers["content-encoding"] == encoding
    assert packed.headers["vary"] == plain.headers["vary"] == "accept-encoding"
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"])
    assert packed.json() == plain.json()
    assert len(split(binary)[1]["label"]) == 64 * 8
    assert "content-encoding" not in small.headers
    assert "content-encoding" not in plain.headers


@pytest.mark.parametrize(
    ("datatype", "shape", "raw", "answered"),
    [
        pytest.param("FP32", (-1, 2), b"\0" * 24, [3, 2], id="rows-follow-from-the-bytes"),
        pytest.param("INT16", (2, 2), b"\1" * 8, [2, 2], id="a-fixed-shape"),
        pytest.param("UINT8", (2, -1), b"\1" * 6, [2, 3], id="an-inner-size"),
        pytest.param("FP64", (), b"\0" * 8, [], id="a-scalar"),
        pytest.param("FP64", (-1,), b"", [0], id="nothing"),
    ],
)
async def test_a_raw_request_is_only_the_tensor(tmp_path, datatype, shape, raw, answered):
    async with serving.serving(bundles.echo(tmp_path, datatype, shape)) as served:
        answer = await served.http.post(INFER, content=raw, headers={LENGTH: "0"})

    document, tensors = split(answer)
    assert document["outputs"][0]["shape"] == answered
    assert tensors["y"] == raw
    assert tensors["score"] == bytes(4 * (answered[0] if shape[:1] == (-1,) else 1))


async def test_a_raw_request_of_text_is_one_element(tmp_path):
    async with serving.serving(bundles.echo(tmp_path, "BYTES", (-1, 1))) as served:
        answer = await served.http.post(INFER, content="né".encode(), headers={LENGTH: "0"})

    document, tensors = split(answer)
    assert document["outputs"][0]["shape"] == [1, 1]
    assert tensors["y"] == b"\3\0\0\0n\xc3\xa9"


@pytest.mark.parametrize(
    ("datatype", "shape", "raw", "sentence"),
    [
        pytest.param("FP32", (-1, -1), b"\0" * 8, "one size that varies", id="two-sizes-vary"),
        pytest.param("FP32", (-1, 2), b"\0" * 12, "means 8 bytes, not 12", id="half-a-row"),
        pytest.param("FP32", (2,), b"\0" * 12, "means 8 bytes, not 12", id="too-long"),
        pytest.param("FP32", (-1, 0), b"\0", "means 0 bytes, not 1", id="a-width-of-nothing"),
        pytest.param("BYTES", (2,), b"a", "end before element 1 of 2", id="two-texts"),
        pytest.param("BYTES", (-1,), b"\xff", "is not UTF-8", id="no-text"),
    ],
)
async def test_raw_bytes_without_a_clear_shape_are_refused(
    tmp_path, datatype, shape, raw, sentence
):
    async with serving.serving(bundles.echo(tmp_path, datatype, shape)) as served:
        answer = await served.http.post(INFER, content=raw, headers={LENGTH: "0"})

    serving.check_error(answer, 400, sentence)


@pytest.mark.parametrize("datatype", ["FP16", "BF16"])
async def test_half_floats_are_binary_only(tmp_path, datatype):
    values = np.array([[1.5], [-0.0], [np.nan]], codec.NUMPY_TYPES[datatype])
    described = {"name": "x", "datatype": datatype, "shape": [3, 1]}
    sent = [{**described, "parameters": {"binary_data_size": 6}}]
    async with serving.serving(bundles.echo(tmp_path, datatype, (-1, 1))) as served:
        good = await post(served, sent, values.tobytes(), parameters={"binary_data_output": True})
        in_json = await served.infer({**described, "data": [1.5, 0, 1]})
        out_json = await post(served, sent, values.tobytes())
        wide = await post(
            served, [{**described, "parameters": {"binary_data_size": 12}}], bytes(12)
        )

    assert split(good)[1]["y"] == values.tobytes()
    serving.check_error(in_json, 400, f"'x' is {datatype}, which JSON cannot carry; send it as b")
    serving.check_error(out_json, 400, f"'y' is {datatype}, which JSON cannot carry; ask for it")
    serving.check_error(wide, 400, "means 6 bytes, not 12")


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        pytest.param("BOOL", [0, 1], id="numbers-for-booleans"),
        pytest.param("INT64", [1.5, 1], id="a-fraction"),
        pytest.param("INT64", [2**63, 1], id="too-large-for-int64"),
        pytest.param("UINT8", [-1, 1], id="below-zero"),
        pytest.param("UINT8", [256, 1], id="one-too-many"),
        pytest.param("UINT64", [2**64, 1], id="too-large-for-uint64"),
        pytest.param("FP32", [3.5e38, 1], id="too-large-for-fp32"),
        pytest.param("INT32", [True, 1], id="a-boolean-for-a-number"),
    ],
)
async def test_no_value_is_cast_or_wrapped(tmp_path, datatype, data):
    async with serving.serving(bundles.echo(tmp_path, datatype, (-1,))) as served:
        answer = await served.infer(serving.tensor("x", datatype, (2,), data))

    serving.check_error(answer, 400, "element 0 is ")


async def test_an_answered_text_that_is_not_utf8_is_the_models_failure(tmp_path):
    table = helper.make_tensor("table", TensorProto.STRING, [2], [b"good", b"\xff"])
    nodes = [
        helper.make_node("Gather", ["table", "x"], ["y"]),
        helper.make_node("Cast", ["x"], ["score"], to=TensorProto.FLOAT),
    ]
    x, y, score = (
        Tensor(name, datatype, (-1,))
        for name, datatype in (("x", "INT64"), ("y", "BYTES"), ("score", "FP32"))
    )
    data = onnx_models.build(
        nodes,
        [(x.name, x.datatype, x.shape)],
        [(tensor.name, tensor.datatype, tensor.shape) for tensor in (y, score)],
        [table],
    )
    signature = Signature("Regression", (x,), (y, score), score="score")
    bundle = bundles.write(tmp_path / "model", data, signature, onnx_models.EMPTY_PROFILE)
    async with serving.serving(bundle) as served:
        good = await served.infer(serving.tensor("x", "INT64", (1,), [0]))
        bad = await served.infer(serving.tensor("x", "INT64", (1,), [1]))

    assert good.json()["outputs"][0]["data"] == ["good"]
    serving.check_error(bad, 500, "^the model failed: .*can't decode byte 0xff")
