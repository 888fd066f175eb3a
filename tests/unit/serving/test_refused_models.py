"""Models and signatures that are refused, each in one sentence that says why and what to do."""

import dataclasses

import onnx
import pytest
from onnx import TensorProto, helper

from modelyard_core.signature import Tensor
from modelyard_serving import loading, model, proof, refusals
from modelyard_serving.errors import Unservable
from support import bundles, onnx_models, serving

RUNTIME = r"onnxruntime \d+\.\d+\.\d+"
ROWS = ("FP32", (-1, 1))


def with_types(nodes, inputs=None, outputs=None, domains=()):
    """Return a model whose graph has these inputs and outputs, of any ONNX type."""
    proto = onnx.load_from_string(onnx_models.build(nodes, [("x", *ROWS)], [("y", *ROWS)]))
    for field, infos in ((proto.graph.input, inputs), (proto.graph.output, outputs)):
        if infos is not None:
            del field[:]
            field.extend(infos)
    proto.opset_import.extend(helper.make_opsetid(domain, 1) for domain in domains)
    return proto.SerializeToString()


FLOATS = helper.make_tensor_type_proto(TensorProto.FLOAT, [None])
MAPS = helper.make_sequence_type_proto(helper.make_map_type_proto(TensorProto.INT64, FLOATS))
ZIPMAP = helper.make_node("ZipMap", ["x"], ["y"], domain="ai.onnx.ml", classlabels_int64s=[0])
SPARSE_PRODUCT = helper.make_node("SparseToDenseMatMul", ["x", "d"], ["y"], domain="com.microsoft")


def value(name, type_proto):
    return helper.make_value_info(name, type_proto)


def of_type(element):
    """Return an echo model of tensors with any element type."""
    infos = (helper.make_tensor_value_info(name, element, [None]) for name in "xy")
    given, told = infos
    node = helper.make_node("Identity", ["x"], ["y"])
    proto = onnx.load_from_string(with_types([node], [given], [told]))
    proto.opset_import[0].version = 19
    return proto.SerializeToString()


def node(operator, domain=""):
    return [helper.make_node(operator, ["x"], ["y"], domain=domain)]


ECHO = onnx_models.echo(*ROWS)

BAD_TYPES = [
    pytest.param(
        with_types([ZIPMAP], outputs=[value("y", MAPS)]),
        r"output 'y' is seq\(map\(int64,tensor\(float\)\)\); only plain tensors can be served: "
        r"convert the classifier without it: skl2onnx takes options=\{'zipmap': False\}",
        id="a-sequence-of-maps",
    ),
    pytest.param(
        with_types(
            [helper.make_node("SequenceConstruct", ["x"], ["y"])],
            outputs=[value("y", helper.make_sequence_type_proto(FLOATS))],
        ),
        r"output 'y' is seq\(tensor\(float\)\); .*give every element a tensor of its own",
        id="a-sequence",
    ),
    pytest.param(
        with_types(
            [helper.make_node("SequenceLength", ["x"], ["y"])],
            [value("x", helper.make_sequence_type_proto(FLOATS))],
            [helper.make_tensor_value_info("y", TensorProto.INT64, [])],
        ),
        r"input 'x' is seq\(tensor\(float\)\); .*give every element a tensor of its own",
        id="an-input-of-sequences",
    ),
    pytest.param(
        with_types(node("Optional"), outputs=[value("y", helper.make_optional_type_proto(FLOATS))]),
        r"output 'y' is optional\(tensor\(float\)\); .*declare the tensor itself",
        id="an-optional",
    ),
    pytest.param(
        with_types(
            [SPARSE_PRODUCT],
            [
                value("x", helper.make_sparse_tensor_type_proto(TensorProto.FLOAT, [None, None])),
                helper.make_tensor_value_info("d", TensorProto.FLOAT, [None, None]),
            ],
            domains=["com.microsoft"],
        ),
        r"input 'x' is sparse_tensor\(float\); .*declare a dense tensor",
        id="a-sparse-tensor",
    ),
    pytest.param(
        of_type(TensorProto.FLOAT8E4M3FN),
        r"input 'x' is tensor\(float8e4m3fn\); .*use one of the element types \(bfloat16\), \(bool\)",
        id="an-element-type-that-the-protocol-does-not-have",
    ),
]

UNLOADABLE = [
    pytest.param(b"no model at all", f"{RUNTIME} cannot load the model: ", id="no-onnx"),
    pytest.param(b"", f"{RUNTIME} cannot load the model: ", id="no-bytes"),
    pytest.param(b"ORTM" * 9, f"{RUNTIME} cannot load the model: ", id="another-format"),
    pytest.param(
        onnx_models.with_opset(ECHO, 99),
        f"the model needs opset 99 of ai.onnx, {RUNTIME} knows them up to \\d+: export it with",
        id="a-new-opset",
    ),
    pytest.param(
        with_types(node("Identity"), domains=["ai.onnx.training"]).replace(
            b"training\x10\x01", b"training\x10\x63"
        ),
        f"the model needs opset 99 of ai.onnx.training, {RUNTIME} knows them up to 1: export it",
        id="a-new-opset-of-another-domain",
    ),
    pytest.param(
        onnx_models.with_ir_version(ECHO, 99),
        f"the model has IR version 99, {RUNTIME} reads them up to \\d+: save it with an older one",
        id="a-new-ir-version",
    ),
    pytest.param(
        with_types(node("Magic", "example.com")),
        f"uses operator Magic of domain 'example.com', which {RUNTIME} does not have: .*custom",
        id="a-custom-operator",
    ),
    pytest.param(
        with_types(node("Magic", "example.com"), domains=["example.com"]),
        f"uses operator Magic of domain 'example.com', which {RUNTIME} does not have: .*custom",
        id="a-custom-operator-of-a-known-domain",
    ),
    pytest.param(
        with_types(node("Gelu")),
        "the model uses operator Gelu, which opset 17 of ai.onnx does not have: export it anew",
        id="an-operator-that-is-newer-than-the-opset",
    ),
    pytest.param(
        onnx_models.build(
            [helper.make_node("Constant", [], ["y"], value_floats=[1.0])], [], [("y", *ROWS)]
        ),
        "the model takes no input",
        id="no-input",
    ),
    pytest.param(
        onnx_models.build(node("Identity"), [("x", *ROWS)], [("y", *ROWS), ("y", *ROWS)]),
        "two outputs of the model have one name",
        id="two-outputs-of-one-name",
    ),
]


@pytest.mark.parametrize(("data", "sentence"), [*BAD_TYPES, *UNLOADABLE])
def test_a_model_that_cannot_be_served_says_why_in_one_sentence(data, sentence):
    with pytest.raises(Unservable, match=f"^.*{sentence}") as caught:
        model.OnnxModel(data)

    assert "\n" not in str(caught.value)


INPUTS, OUTPUTS = onnx_models.RAIN.inputs, onnx_models.RAIN.outputs

UNTRUE = [
    pytest.param(
        {"inputs": INPUTS[:2]}, "input 'station' of the model is not in the signature", id="unnamed"
    ),
    pytest.param(
        {"inputs": (*INPUTS, Tensor("fog", "FP32", (-1, 1)))},
        "input 'fog' of the signature is not in the model",
        id="an-input-that-is-not-there",
    ),
    pytest.param(
        {"inputs": (Tensor("temp", "FP64", (-1, 1)), *INPUTS[1:])},
        r"input 'temp' is FP32 \[-1, 1\] in the model, FP64",
        id="an-input-of-another-type",
    ),
    pytest.param(
        {"inputs": (Tensor("temp", "FP32", (-1, 2)), *INPUTS[1:])},
        r"input 'temp' .* \[-1, 2\] in the signature",
        id="an-input-of-another-shape",
    ),
    pytest.param(
        {"outputs": OUTPUTS[1:]}, "output 'label' of the model", id="an-output-is-not-named"
    ),
    pytest.param(
        {"outputs": (Tensor("label", "BYTES", (-1,)), OUTPUTS[1])},
        r"output 'label' is INT64 \[-1\] in the model, BYTES",
        id="an-output-of-another-type",
    ),
    pytest.param(
        {"outputs": (OUTPUTS[0], Tensor("probabilities", "FP32", (-1, 3)))},
        r"output 'probabilities' is FP32 \[-1, 2\] in the model, FP32 \[-1, 3\] in the signature",
        id="an-output-of-another-shape",
    ),
    pytest.param(
        {"outputs": (Tensor("label", "INT64", (-1, 1)), OUTPUTS[1])},
        r"output 'label' is INT64 \[-1\] in the model, INT64 \[-1, 1\] in the signature",
        id="an-output-of-another-rank",
    ),
    pytest.param(
        {"inputs": (INPUTS[1], INPUTS[0], INPUTS[2])},
        "the inputs wind, temp, station; the model has them in another order: temp, wind, station",
        id="inputs-in-another-order",
    ),
    pytest.param(
        {"outputs": (OUTPUTS[1], OUTPUTS[0])},
        "the outputs probabilities, label; the model has them in another order",
        id="outputs-in-another-order",
    ),
    pytest.param(
        {"score": ""}, "score '' is no output; they are label, probabilities", id="no-score"
    ),
    pytest.param(
        {"score": "margin"}, "score 'margin' is no output; they are label", id="an-unknown-score"
    ),
    pytest.param(
        {"classes": ("a", "b", "c")},
        r"score 'probabilities' is FP32 \[-1, 2\], but the signature has 3 classes",
        id="another-number-of-classes",
    ),
]


@pytest.mark.parametrize(("changes", "sentence"), UNTRUE)
def test_a_signature_that_is_not_true_is_found(tmp_path, changes, sentence):
    untrue = dataclasses.replace(onnx_models.RAIN, **changes)
    bundle = bundles.write(tmp_path / "model", signature=untrue)

    with pytest.raises(Unservable, match=sentence):
        loading.load(serving.settings(bundle), lambda *_: None)


def test_a_model_that_answers_nan_to_a_typical_row_is_not_proven():
    io = ("FP32", (-1, 1))
    data = onnx_models.build([helper.make_node("Log", ["x"], ["y"])], [("x", *io)], [("y", *io)])

    made = model.OnnxModel(data)

    with pytest.raises(Unservable, match="output 'y' of a typical row holds NaN"):
        proof.prove(made, made.inputs, onnx_models.echo_signature(*io), onnx_models.EMPTY_PROFILE)


def test_a_model_with_fewer_scores_than_rows_is_not_proven():
    io = ("FP32", (-1, 1))
    nodes = [helper.make_node("ReduceMax", ["x"], ["y"], axes=[0], keepdims=1)]
    data = onnx_models.build(nodes, [("x", *io)], [("y", *io)])

    made = model.OnnxModel(data)

    with pytest.raises(Unservable, match="8 typical rows get 1 scores"):
        proof.prove(made, made.inputs, onnx_models.echo_signature(*io), onnx_models.EMPTY_PROFILE)


def test_a_model_that_works_for_one_row_only_is_not_proven():
    io = ("FP32", (-1, 1))
    nodes = [helper.make_node("Reshape", ["x", "one"], ["y"])]
    one = helper.make_tensor("one", TensorProto.INT64, [2], [1, 1])
    data = onnx_models.build(nodes, [("x", *io)], [("y", *io)], [one])

    made = model.OnnxModel(data)

    with pytest.raises(Unservable, match="a typical row does not pass: the model failed"):
        proof.prove(made, made.inputs, onnx_models.echo_signature(*io), onnx_models.EMPTY_PROFILE)


def test_a_shape_that_only_a_run_shows_is_compared_too():
    # Squeeze without axes: what is left depends on the request.
    made = model.OnnxModel(with_types(node("Squeeze")))
    signature = onnx_models.echo_signature(*ROWS)
    inputs = proof.contract_of(made, signature, 10).inputs

    with pytest.raises(
        Unservable, match=r"'y' of a typical row has shape \[\], the signature says"
    ):
        proof.prove(made, inputs, signature, onnx_models.EMPTY_PROFILE)


@pytest.mark.parametrize(
    ("datatype", "shape"),
    [
        pytest.param("BYTES", (-1,), id="texts"),
        pytest.param("FP32", (), id="one-number-for-all-rows"),
    ],
)
def test_a_score_that_is_no_number_a_row_is_refused(datatype, shape):
    made = model.OnnxModel(onnx_models.echo(datatype, shape))

    with pytest.raises(Unservable, match=f"score 'y' is {datatype} .*it must be numbers"):
        proof.contract_of(made, onnx_models.echo_signature(datatype, shape), 10)


def test_the_models_failure_is_told_in_one_line():
    assert refusals.first_line(RuntimeError("first\nsecond")) == "first"
    noisy = "[ONNXRuntimeError] : 1 : FAIL : /src/a.h:46 void f(int, g(char)) Opset 99 is too new"
    assert refusals.first_line(RuntimeError(noisy)) == "Opset 99 is too new"
    assert refusals.first_line(RuntimeError("")) == "RuntimeError"
    nested = (
        "[ONNXRuntimeError] : 1 : FAIL : Exception: /a/b.cc:51 c::D::D(const e&) "
        "[ONNXRuntimeError] : 1 : FAIL : b.cc:18 GetData External initializer: w is cut"
    )
    assert refusals.first_line(RuntimeError(nested)) == "Exception: External initializer: w is cut"
