"""Weights in files beside the model: verified as the model is, or refused."""

from contextlib import suppress

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from modelyard_core import bundle
from modelyard_serving import loading, onnx_file
from modelyard_serving.bundle_files import TamperedBundle
from modelyard_serving.errors import Unservable
from support import bundles, onnx_models, serving
from support.serving import tensor

IO = ("FP32", (-1, 2))
WEIGHTS = np.array([10.0, 20.0], np.float32).tobytes()
FILE = "weights/all.bin"


def external(location, offset=0, length=8, name="w"):
    """Return a tensor of two numbers that lies in a file."""
    made = onnx.TensorProto(
        name=name, data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL
    )
    for key, value in (("location", location), ("offset", str(offset)), ("length", str(length))):
        made.external_data.add(key=key, value=value)
    return made


def adding(weights):
    """Return a model that adds an initializer to its input."""
    add = helper.make_node("Add", ["x", "w"], ["y"])
    return onnx_models.build([add], [("x", *IO)], [("y", *IO)], [weights])


def in_a_constant(weights):
    """Return a model that adds a constant."""
    nodes = [
        helper.make_node("Constant", [], ["w"], value=weights),
        helper.make_node("Add", ["x", "w"], ["y"]),
    ]
    return onnx_models.build(nodes, [("x", *IO)], [("y", *IO)])


def in_a_branch(weights):
    """Return a model that adds an initializer of a branch, which is a graph in a graph."""
    told = [helper.make_tensor_value_info("c", TensorProto.FLOAT, [2])]
    copy = helper.make_node("Identity", ["w"], ["c"])
    branch = helper.make_graph([copy], "branch", [], told, [weights])
    nodes = [
        helper.make_node("If", ["always"], ["v"], then_branch=branch, else_branch=branch),
        helper.make_node("Add", ["x", "v"], ["y"]),
    ]
    always = helper.make_tensor("always", TensorProto.BOOL, [], [True])
    return onnx_models.build(nodes, [("x", *IO)], [("y", *IO)], [always])


def write(folder, model, more):
    return bundles.write(
        folder, model, onnx_models.echo_signature(*IO), onnx_models.EMPTY_PROFILE, more
    )


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(adding(external(FILE)), id="an-initializer"),
        pytest.param(in_a_constant(external(FILE)), id="a-constant"),
        pytest.param(in_a_branch(external(FILE)), id="a-branch"),
    ],
)
async def test_weights_beside_the_model_are_used(tmp_path, model):
    made = write(tmp_path, model, {FILE: WEIGHTS, "notes.txt": b"of no use to the model"})
    async with serving.serving(made) as served:
        answer = await served.infer(tensor(shape=(2, 2), data=[1, 2, 3, 4]))

    assert answer.json()["outputs"][0]["data"] == [11.0, 22.0, 13.0, 24.0]


async def test_several_tensors_lie_in_one_file(tmp_path):
    nodes = [
        helper.make_node("Add", ["x", "w"], ["sum"]),
        helper.make_node("Mul", ["sum", "v"], ["y"]),
    ]
    both = [external(FILE), external(FILE, offset=len(WEIGHTS), name="v")]
    model = onnx_models.build(nodes, [("x", *IO)], [("y", *IO)], both)
    more = {FILE: WEIGHTS + np.array([2.0, 3.0], np.float32).tobytes()}
    async with serving.serving(write(tmp_path, model, more)) as served:
        answer = await served.infer(tensor(shape=(1, 2), data=[1, 2]))

    assert answer.json()["outputs"][0]["data"] == [22.0, 66.0]


@pytest.mark.parametrize(
    ("location", "sentence"),
    [
        pytest.param("../w.bin", "outside of the bundle", id="above"),
        pytest.param("a/../../w.bin", "outside of the bundle", id="above-by-a-detour"),
        pytest.param("/etc/hostname", "outside of the bundle", id="absolute"),
        pytest.param("", "outside of the bundle", id="nowhere"),
        pytest.param("*/_ORT_MEM_ADDR_/*", "not in the bundle", id="an-address-in-memory"),
        pytest.param("w.bin", "not in the bundle", id="not-listed"),
        pytest.param(bundle.MANIFEST, "not in the bundle", id="the-manifest"),
    ],
)
@pytest.mark.parametrize("model", [adding, in_a_constant, in_a_branch])
def test_weights_that_are_not_in_the_bundle_are_refused(tmp_path, model, location, sentence):
    made = write(tmp_path / "model", model(external(location)), {})
    for place in (tmp_path / "w.bin", made.folder / "w.bin"):
        place.write_bytes(WEIGHTS)

    with pytest.raises(Unservable, match=f"the model keeps weights in .*, which is {sentence}"):
        loading.load(serving.settings(made), lambda *_: None)


def test_weights_that_were_changed_are_refused(tmp_path):
    made = write(tmp_path, adding(external(FILE)), {FILE: WEIGHTS})
    (tmp_path / FILE).write_bytes(WEIGHTS[::-1])

    with pytest.raises(TamperedBundle, match=r"weights/all.bin has sha256:.*, expected sha256:"):
        loading.load(serving.settings(made), lambda *_: None)


def test_weights_that_are_gone_are_missed(tmp_path):
    made = write(tmp_path, adding(external(FILE)), {FILE: WEIGHTS})
    (tmp_path / FILE).unlink()

    with pytest.raises(Unservable, match=r"the bundle cannot be read: .*weights/all.bin"):
        loading.load(serving.settings(made), lambda *_: None)


def test_weights_behind_a_link_out_of_the_bundle_are_refused(tmp_path):
    made = write(tmp_path / "model", adding(external(FILE)), {FILE: WEIGHTS})
    (tmp_path / "elsewhere").write_bytes(WEIGHTS)
    (made.folder / FILE).unlink()
    (made.folder / FILE).symlink_to(tmp_path / "elsewhere")

    with pytest.raises(TamperedBundle, match=r"weights/all.bin leaves the bundle through a link"):
        loading.load(serving.settings(made), lambda *_: None)


@pytest.mark.parametrize(
    ("part", "data"),
    [
        pytest.param({"offset": 4}, WEIGHTS, id="beyond-the-end"),
        pytest.param({"offset": -1}, WEIGHTS, id="before-the-beginning"),
        pytest.param({"length": 4}, WEIGHTS, id="too-short"),
        pytest.param({}, b"", id="an-empty-file"),
    ],
)
def test_a_part_that_is_not_in_its_file_is_refused(tmp_path, part, data):
    made = write(tmp_path, adding(external(FILE, **part)), {FILE: data})

    with pytest.raises(Unservable, match=r"cannot load the model: .*w"):
        loading.load(serving.settings(made), lambda *_: None)


def sparse(location):
    """Return a model with a sparse initializer, of which one half lies in a file."""
    proto = onnx.load_from_string(onnx_models.echo(*IO))
    indices = helper.make_tensor("i", TensorProto.INT64, [2], [0, 1])
    proto.graph.sparse_initializer.append(
        onnx.SparseTensorProto(values=external(location), indices=indices, dims=[2])
    )
    return proto.SerializeToString()


def in_a_function(location):
    """Return a model with a function of its own."""
    proto = onnx.load_from_string(onnx_models.echo(*IO))
    constant = helper.make_node("Constant", [], ["c"], value=external(location))
    opset = [helper.make_opsetid("", onnx_models.OPSET)]
    proto.functions.append(helper.make_function("own", "F", [], ["c"], [constant], opset))
    return proto.SerializeToString()


@pytest.mark.parametrize("model", [sparse, in_a_function])
def test_weights_are_found_wherever_a_model_may_have_them(model):
    assert onnx_file.external_files(model("a.bin")) == ("a.bin",)


def test_an_input_named_location_is_no_file():
    made = onnx_models.build(
        [helper.make_node("Identity", ["location"], ["y"])], [("location", *IO)], [("y", *IO)]
    )

    assert onnx_file.external_files(made) == ()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"location\xff", id="no-such-wire-type"),
        pytest.param(b"\x3a\x20location", id="cut-short"),
        pytest.param(b"\x3a" + b"\xff" * 12 + b"location", id="a-number-without-end"),
        pytest.param(b"\x0a\x08location\x39", id="a-number-cut-short"),
    ],
)
def test_bytes_that_are_no_protobuf_are_refused(data):
    with pytest.raises(Unservable, match="the model is no file in ONNX"):
        onnx_file.external_files(data)


@pytest.mark.parametrize("end", range(0, len(adding(external(FILE))), 7))
def test_a_model_that_is_cut_anywhere_is_read_or_refused(end):
    with suppress(Unservable):
        found = onnx_file.external_files(adding(external(FILE))[:end] + onnx_file.LOCATION)
        assert found in ((), (FILE,))
