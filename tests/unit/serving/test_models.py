"""Models of every type and shape, and what they answer to right requests that break them."""

import asyncio
import dataclasses
import json
import re

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from modelyard_core.reference import NumericProfile, Profile
from modelyard_core.signature import Signature, Tensor
from modelyard_serving import contract, inference, model, proof, protocol
from modelyard_serving.errors import InvalidRequest
from support import bundles, onnx_models, serving
from support.serving import tensor

LENGTH = "inference-header-content-length"
VALUES = {
    "BOOL": [True, False],
    "UINT8": [0, 255],
    "UINT16": [0, 65535],
    "UINT32": [0, 2**32 - 1],
    "UINT64": [2**53 + 1, 2**64 - 1],
    "INT8": [-128, 127],
    "INT16": [-32768, 32767],
    "INT32": [-(2**31), 2**31 - 1],
    "INT64": [-(2**63), 2**53 + 1],
    "FP32": [0.1, -3.4028235e38],
    "FP64": [0.1, 1.7976931348623157e308],
    "BYTES": ["", 'é"\\\n'],
}


def echo_bundle(folder, datatype, shape, declared=None):
    """Write a bundle of an echo model, with a score beside it that every model must have."""
    nodes = [
        helper.make_node("Identity", ["x"], ["y"]),
        helper.make_node("Shape", ["x"], ["size"]),
        helper.make_node("Cast", ["size"], ["sizes"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["sizes"], ["total"], keepdims=1),
    ]
    outputs = [("y", datatype, shape), ("total", "FP32", (1,))]
    declared = tuple(-1 if isinstance(size, str) else size for size in declared or shape)
    signature = Signature(
        task="Regression",
        inputs=(Tensor("x", datatype, declared),),
        outputs=(Tensor("y", datatype, declared), Tensor("total", "FP32", (1,))),
        score="total",
    )
    data = onnx_models.build(nodes, [("x", datatype, shape)], outputs)
    return bundles.write(folder / "model", data, signature, onnx_models.EMPTY_PROFILE)


@pytest.mark.parametrize("datatype", VALUES)
async def test_a_model_of_each_type_answers_what_it_was_given(tmp_path, datatype):
    bundle = echo_bundle(tmp_path, datatype, (2,))
    async with serving.serving(bundle) as served:
        answer = await served.infer(tensor("x", datatype, (2,), VALUES[datatype]))

    assert answer.status_code == 200, answer.text
    output = answer.json()["outputs"][0]
    assert output == {"name": "y", "datatype": datatype, "shape": [2], "data": VALUES[datatype]}


@pytest.mark.parametrize(
    ("shape", "asked", "count"),
    [
        pytest.param((), (), 1, id="a-scalar"),
        pytest.param((2, 3), (2, 3), 6, id="a-fixed-shape"),
        pytest.param((1, -1), (1, 5), 5, id="an-inner-dimension-varies"),
        pytest.param((2, "n"), (2, 0), 0, id="a-named-dimension-is-empty"),
        pytest.param((1, 2, 3, 4), (1, 2, 3, 4), 24, id="four-dimensions"),
    ],
)
async def test_a_model_of_any_shape_is_served(tmp_path, shape, asked, count):
    async with serving.serving(echo_bundle(tmp_path, "INT64", shape)) as served:
        answer = await served.infer(tensor("x", "INT64", asked, list(range(count))))
        refused = await served.infer(tensor("x", "INT64", (*asked, 1), list(range(count))))

    assert answer.json()["outputs"][0]["shape"] == list(asked)
    assert answer.json()["outputs"][0]["data"] == list(range(count))
    assert refused.status_code == 400


def spec(name, shape, symbols):
    return contract.InputSpec(Tensor(name, "FP32", shape), symbols)


@pytest.mark.parametrize(
    ("symbols", "agrees"),
    [
        pytest.param((("n",), ("n",)), False, id="one-name-one-size"),
        pytest.param((("n",), ("m",)), True, id="two-names-two-sizes"),
        pytest.param((("",), ("",)), True, id="nameless-inner-dimensions-are-free"),
        pytest.param(((contract.BATCH,), (contract.BATCH,)), False, id="rows-are-rows"),
    ],
)
def test_dimensions_of_one_name_have_one_size(symbols, agrees):
    both = contract.Contract(
        {"a": spec("a", (-1,), symbols[0]), "b": spec("b", (-1,), symbols[1])}, ("y",), 10
    )
    request = protocol.InferRequest(
        (
            protocol.RequestInput("a", "FP32", (2,), [1, 2]),
            protocol.RequestInput("b", "FP32", (3,), [1, 2, 3]),
        )
    )
    if agrees:
        assert both.bind(request).feeds["b"].shape == (3,)
    else:
        with pytest.raises(InvalidRequest, match="input 'b' has 3 where input 'a' has 2"):
            both.bind(request)


def sum_of_two(tmp_path, profile):
    """Write a model whose inputs name their rows apart, as exporters do."""
    given = (Tensor("temp", "FP32", (-1, 1)), Tensor("wind", "FP32", (-1, 1)))
    told = (Tensor("sum", "FP32", (-1, 1)),)
    data = onnx_models.build(
        [helper.make_node("Add", ["temp", "wind"], ["sum"])],
        [("temp", "FP32", ("temp rows", 1)), ("wind", "FP32", ("wind rows", 1))],
        [("sum", "FP32", (-1, 1))],
    )
    signature = Signature("Regression", given, told, score="sum")
    return bundles.write(tmp_path / "model", data, signature, profile)


@pytest.mark.parametrize(("temp", "wind"), [(5, 1), (1, 5), (0, 1)])
async def test_inputs_that_are_counted_have_the_same_rows_whatever_these_are_called(
    tmp_path, temp, wind
):
    profile = dataclasses.replace(onnx_models.RAIN_PROFILE, categories=())
    async with serving.serving(sum_of_two(tmp_path, profile)) as served:
        odd = await served.infer(
            tensor("temp", shape=(temp, 1), data=[1.0] * temp),
            tensor("wind", shape=(wind, 1), data=[1.0] * wind),
        )
        good = await served.infer(*serving.rows([1.0, 2.0])[:2])
        sketch = (await served.http.get("/v1/sketch")).json()

    assert odd.json()["error"] == f"input 'wind' has {wind} where input 'temp' has {temp}"
    assert (odd.status_code, good.status_code) == (400, 200)
    assert sketch["roles"]["direct"]["rows"] == 2


async def test_inputs_that_are_not_counted_may_be_broadcast(tmp_path):
    profile = dataclasses.replace(
        onnx_models.RAIN_PROFILE, numeric=onnx_models.RAIN_PROFILE.numeric[:1], categories=()
    )
    async with serving.serving(sum_of_two(tmp_path, profile)) as served:
        temp, wind = serving.rows([1.0, 2.0], [3.0])[:2]
        answer = await served.infer(temp, {**wind, "shape": [1, 1]})
        longer = await served.infer(
            {**temp, "shape": [1, 1], "data": [1.0]}, wind | {"shape": [1, 1]}
        )
        sketch = (await served.http.get("/v1/sketch")).json()

    assert answer.json()["outputs"][0]["data"] == [4.0, 5.0]
    assert longer.status_code == 200
    assert sketch["roles"]["direct"]["features"]["temp"]["bins"] == [0, 0, 2, 1]


async def test_dimensions_that_vary_together_are_proven_together(tmp_path):
    given = (Tensor("a", "FP32", (-1, -1)), Tensor("b", "FP32", (-1, -1)))
    data = onnx_models.build(
        [
            helper.make_node("MatMul", ["a", "b"], ["c"]),
            helper.make_node("ReduceSum", ["c", "last"], ["sums"], keepdims=0),
        ],
        [("a", "FP32", ("n", "k")), ("b", "FP32", ("k", "m"))],
        [("c", "FP32", ("n", "m")), ("sums", "FP32", ("n",))],
        [helper.make_tensor("last", TensorProto.INT64, [1], [1])],
    )
    told = (Tensor("c", "FP32", (-1, -1)), Tensor("sums", "FP32", (-1,)))
    signature = Signature("Regression", given, told, score="sums")
    bundle = bundles.write(tmp_path / "model", data, signature, onnx_models.EMPTY_PROFILE)
    async with serving.serving(bundle) as served:
        answer = await served.infer(
            tensor("a", shape=(2, 3), data=[1] * 6), tensor("b", shape=(3, 2), data=[1] * 6)
        )
        refused = await served.infer(
            tensor("a", shape=(2, 3), data=[1] * 6), tensor("b", shape=(2, 3), data=[1] * 6)
        )

    assert answer.json()["outputs"][1]["data"] == [6, 6]
    assert refused.json()["error"] == "input 'b' has 2 where input 'a' has 3"


async def test_an_answer_that_json_cannot_carry_must_be_asked_for_in_binary(tmp_path):
    nodes = [helper.make_node("Log", ["x"], ["y"])]
    io = ("FP32", (-1, 1))
    data = onnx_models.build(nodes, [("x", *io)], [("y", *io)])
    profile = Profile(
        1,
        (NumericProfile("x", (1.0,), (1, 0), 0, 0.5, 2.0),),
        (),
        onnx_models.EMPTY_PROFILE.prediction,
    )
    bundle = bundles.write(tmp_path / "model", data, onnx_models.echo_signature(*io), profile)
    async with serving.serving(bundle) as served:
        good = await served.infer(tensor(data=[1], shape=(1, 1)))
        bad = await served.infer(tensor(data=[1, -1], shape=(2, 1)))
        sketch = (await served.http.get("/v1/sketch")).json()

    assert good.json()["outputs"][0]["data"] == [0.0]
    assert bad.status_code == 400
    assert re.search("'y' holds NaN or an infinity at element 1.*binary", bad.json()["error"])
    assert sketch["roles"]["direct"]["requests"] == 1


async def test_a_model_that_breaks_on_a_valid_request_is_a_server_error(tmp_path):
    nodes = [helper.make_node("Gather", ["table", "x"], ["y"])]
    table = helper.make_tensor("table", TensorProto.FLOAT, [2], [5.0, 7.0])
    data = onnx_models.build(nodes, [("x", "INT64", (-1,))], [("y", "FP32", (-1,))], [table])
    signature = Signature(
        "Regression", (Tensor("x", "INT64", (-1,)),), (Tensor("y", "FP32", (-1,)),), score="y"
    )
    bundle = bundles.write(tmp_path / "model", data, signature, onnx_models.EMPTY_PROFILE)
    async with serving.serving(bundle) as served:
        assert (await served.infer(tensor("x", "INT64", (1,), [1]))).status_code == 200
        answer = await served.infer(tensor("x", "INT64", (1,), [9]))

    assert answer.status_code == 500
    assert answer.json()["error"].startswith("the model failed: ")


async def test_an_empty_batch_is_refused_where_the_model_takes_none(tmp_path):
    nodes = [
        helper.make_node("ArgMax", ["x"], ["top"], axis=0, keepdims=0),
        helper.make_node("Gather", ["x", "top"], ["best"], axis=0),
        helper.make_node("Reshape", ["best", "one"], ["flat"]),
        helper.make_node("Add", ["x", "flat"], ["y"]),
    ]
    io = ("FP32", (-1, 1))
    one = helper.make_tensor("one", TensorProto.INT64, [1], [1])
    data = onnx_models.build(nodes, [("x", *io)], [("y", *io)], [one])
    bundle = bundles.write(
        tmp_path / "model", data, onnx_models.echo_signature(*io), onnx_models.EMPTY_PROFILE
    )
    async with serving.serving(bundle) as served:
        answer = await served.infer(tensor(shape=(0, 1), data=[]))

    assert answer.status_code == 400
    assert answer.json()["error"] == "the model does not take an empty batch"


async def test_a_large_request_is_answered_as_a_small_one_is(rain_bundle):
    count = 4000
    inputs = serving.rows([i / count for i in range(count)])
    async with serving.serving(rain_bundle, max_rows=count) as served:
        large = await served.infer(*inputs)
        small = await served.infer(*serving.rows([i / count for i in range(5)]))
        sketch = (await served.http.get("/v1/sketch")).json()

    assert len(large.content) > inference.LARGE_BODY_BYTES
    assert large.json()["outputs"][0]["data"][:5] == small.json()["outputs"][0]["data"]
    assert sketch["roles"]["direct"]["rows"] == count + 5


async def test_the_line_in_front_of_the_threads_is_bounded(rain_bundle):
    inputs = serving.rows([0.5] * 4000)
    async with serving.serving(rain_bundle, max_rows=4000, max_waiting=2) as served:
        answers = await asyncio.gather(*(served.infer(*inputs) for _ in range(8)))

    codes = [answer.status_code for answer in answers]
    assert sorted(set(codes)) == [200, 503]
    assert {a.headers.get("retry-after") for a in answers if a.status_code == 503} == {"1"}


def test_a_typical_row_is_made_of_what_the_training_rows_had():
    rain = model.OnnxModel(onnx_models.rain())

    row = {name: proof.typical(s, onnx_models.RAIN_PROFILE, 2) for name, s in rain.inputs.items()}

    assert row["temp"].tolist() == [[0.0], [0.0]]
    assert row["wind"].tolist() == [[np.float32(0.2)], [np.float32(0.2)]]
    assert row["station"].tolist() == [["north"], ["north"]]


def test_a_typical_row_of_a_matrix_has_each_column_in_its_place():
    matrix = model.OnnxModel(onnx_models.echo("FP32", (-1, 3)))
    first, second = onnx_models.RAIN_PROFILE.numeric
    columns = (
        dataclasses.replace(first, input="x", index=2, edges=(-1.0, 5.0, 7.0)),
        dataclasses.replace(second, input="x", index=0),
        dataclasses.replace(second, name="x", input="y", index=1),
    )
    profile = dataclasses.replace(onnx_models.RAIN_PROFILE, numeric=columns)

    row = proof.typical(matrix.inputs["x"], profile, 2)

    assert row.tolist() == [[np.float32(0.2), 0.0, 5.0]] * 2


HALVES = {
    "FP16": np.array([1.5, -0.0, 65504.0, np.inf, np.nan], np.float16),
    "BF16": np.array([0x3FC0, 0x8000, 0x7F7F, 0xFF81, 0x7FC1], np.uint16).view(ml_dtypes.bfloat16),
}


async def infer_bytes(served, datatype, shape, raw):
    given = {"name": "x", "datatype": datatype, "shape": list(shape)}
    given["parameters"] = {"binary_data_size": len(raw)}
    head = json.dumps({"inputs": [given], "parameters": {"binary_data_output": True}}).encode()
    return await served.http.post(
        serving.INFER, content=head + raw, headers={LENGTH: str(len(head))}
    )


@pytest.mark.parametrize("datatype", HALVES)
async def test_half_floats_keep_every_bit(tmp_path, datatype):
    raw = HALVES[datatype].tobytes()
    bundle = echo_bundle(tmp_path, datatype, (5,))
    async with serving.serving(bundle) as served:
        answer = await infer_bytes(served, datatype, (5,), raw)
        as_json = await served.infer(tensor("x", datatype, (1,), [1.5]))

    assert answer.status_code == 200, answer.text
    assert answer.content[int(answer.headers[LENGTH]) :][: len(raw)] == raw
    assert as_json.status_code == 400


@pytest.mark.parametrize("shape", [(-1,), (-1, 3), (-1, 2, 2)])
@pytest.mark.parametrize("datatype", ["FP64", "FP16", "BF16", "INT8", "UINT64", "BOOL"])
async def test_scores_of_every_kind_of_number_are_counted(tmp_path, datatype, shape):
    cast = helper.make_node("Cast", ["x"], ["y"], to=onnx_models.ONNX_OF[datatype])
    data = onnx_models.build([cast], [("x", "FP32", shape)], [("y", datatype, shape)])
    signature = Signature(
        "Regression", (Tensor("x", "FP32", shape),), (Tensor("y", datatype, shape),), score="y"
    )
    bundle = bundles.write(tmp_path / "model", data, signature, onnx_models.EMPTY_PROFILE)
    ones = np.ones((2, *shape[1:]))
    async with serving.serving(bundle) as served:
        answer = await served.infer(
            tensor(shape=ones.shape, data=ones.tolist()), parameters={"binary_data_output": True}
        )
        sketch = (await served.http.get("/v1/sketch")).json()

    assert answer.status_code == 200, answer.text
    assert sketch["roles"]["direct"]["prediction"]["bins"] == [0, 2]


def test_bfloat16_goes_in_and_out_beside_text_whatever_its_memory():
    nodes = [
        helper.make_node("Concat", ["x", "x"], ["y"], axis=0),
        helper.make_node("Identity", ["s"], ["t"]),
    ]
    given = [("x", "BF16", (-1, 2)), ("s", "BYTES", ())]
    told = [("y", "BF16", (-1, 2)), ("t", "BYTES", ())]
    made = model.OnnxModel(onnx_models.build(nodes, given, told))
    wide = np.arange(8).reshape(2, 4).astype(ml_dtypes.bfloat16)
    feeds = {"x": wide[:, ::2], "s": np.array("north", object)}

    text, numbers = made.run(feeds, ["t", "y"], 2)

    assert text.tolist() == "north"
    assert numbers.dtype == ml_dtypes.bfloat16
    assert numbers.tolist() == [[0, 2], [4, 6], [0, 2], [4, 6]]


async def test_an_input_without_a_shape_takes_the_one_of_the_signature(tmp_path):
    proto = onnx.load_from_string(onnx_models.echo("FP32", (-1, 2)))
    proto.graph.input[0].type.tensor_type.ClearField("shape")
    bundle = bundles.write(
        tmp_path / "model",
        proto.SerializeToString(),
        onnx_models.echo_signature("FP32", (-1, 2)),
        onnx_models.EMPTY_PROFILE,
    )
    async with serving.serving(bundle) as served:
        answer = await served.infer(tensor(shape=(2, 2), data=[1, 2, 3, 4]))
        refused = await served.infer(tensor(shape=(4,), data=[1, 2, 3, 4]))

    assert answer.json()["outputs"][0]["data"] == [1, 2, 3, 4]
    assert "has shape [-1, 2], where -1 varies, not [4]" in refused.json()["error"]


def test_a_run_that_is_slow_for_its_rows_is_known_to_be():
    rain = model.OnnxModel(onnx_models.rain())
    assert not rain.pace.is_slow(10**9)

    proof.prove(rain, rain.inputs, onnx_models.RAIN, onnx_models.RAIN_PROFILE)

    assert rain.pace.is_slow(10**9)


def test_a_model_whose_short_runs_become_long_is_known_to_be_slow():
    io = ("FP32", (-1, -1))
    nodes = [helper.make_node("Tan", ["x"], ["a"]), helper.make_node("Tan", ["a"], ["y"])]
    tangents = model.OnnxModel(onnx_models.build(nodes, [("x", *io)], [("y", *io)]))
    for _ in range(100):
        tangents.run({"x": np.ones((1, 1), np.float32)}, ["y"], 1)
    assert not tangents.pace.is_slow(1)

    for _ in range(2):  # by the clock on the wall first, then by processor time
        tangents.run({"x": np.ones((1, 1 << 21), np.float32)}, ["y"], 1)

    assert tangents.pace.is_slow(1)
    assert tangents.pace.rows_in_time == 0
