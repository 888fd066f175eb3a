"""Real servers, and the clients of other projects in an environment of their own."""

import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hack import clients
from onnx import TensorProto, helper

from modelyard_core.signature import Signature, Tensor
from support import bundles, grpc_serving, onnx_models, serving

SCRIPTS = Path(__file__).parent / "scripts"
PATIENCE_SECONDS = 120
DATATYPES = (
    *("BOOL", "UINT8", "UINT16", "UINT32", "UINT64"),
    *("INT8", "INT16", "INT32", "INT64", "BYTES", "FP64", "FP32"),
)

Ask = Callable[..., dict[str, Any]]


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.clients)


@pytest.fixture(scope="session")
def ask(pytestconfig) -> Ask:
    """Run a script in the clients' environment and return what its cases said."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        python = clients.ensure()

    def run(script: str, *arguments: str) -> dict[str, Any]:
        done = subprocess.run(
            [python, "-W", "ignore", SCRIPTS / script, *arguments],
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        said: dict[str, Any] = json.loads(done.stdout)
        return said

    return run


@dataclass(frozen=True, slots=True)
class Server:
    """A running server, as clients are told about it."""

    url: str
    http: str
    """Host and port."""
    grpc: str
    """Host and port."""

    def address(self, transport: str) -> str:
        """Return host and port for one of tritonclient's transports."""
        return self.grpc if transport.startswith("grpc") else self.http


def _run(bundle: bundles.Bundle) -> Iterator[Server]:
    with serving.program(bundle, GRPC_PORT=0) as program:
        port = grpc_serving.port_of(program)  # it may listen there after it is ready
        program.wait_for("ready: rain version 1")
        yield Server(program.url, f"127.0.0.1:{program.port}", f"127.0.0.1:{port}")


def _serve(folder: Path, model: bytes, signature: Signature) -> Iterator[Server]:
    yield from _run(bundles.write(folder / "model", model, signature, onnx_models.EMPTY_PROFILE))


def _echoing(folder: Path, datatypes: Sequence[str]) -> Iterator[Server]:
    """Serve a model that answers what it is given; the last datatype is its score."""
    inputs = tuple(Tensor(f"x_{datatype}", datatype, (-1, 2)) for datatype in datatypes)
    outputs = tuple(Tensor(f"y_{datatype}", datatype, (-1, 2)) for datatype in datatypes)
    nodes = [helper.make_node("Identity", [f"x_{name}"], [f"y_{name}"]) for name in datatypes]
    model = onnx_models.build(nodes, _named(inputs), _named(outputs))
    signature = Signature("Regression", inputs, outputs, score=f"y_{datatypes[-1]}")
    yield from _serve(folder, model, signature)


@pytest.fixture(scope="session")
def zoo(tmp_path_factory) -> Iterator[Server]:
    """A model that answers what it is given, in every datatype of JSON."""
    yield from _echoing(tmp_path_factory.mktemp("zoo"), DATATYPES)


@pytest.fixture(scope="session")
def half(tmp_path_factory) -> Iterator[Server]:
    """The same for half floats, which only binary tensors can carry."""
    yield from _echoing(tmp_path_factory.mktemp("half"), ("FP16",))


@pytest.fixture(scope="session")
def halves(tmp_path_factory) -> Iterator[Server]:
    """The same with bfloat16, which not every client knows."""
    yield from _echoing(tmp_path_factory.mktemp("halves"), ("FP16", "BF16"))


@pytest.fixture(scope="session")
def total(tmp_path_factory) -> Iterator[Server]:
    """A model that adds three integers: the one that MLServer's own requests are for."""
    inputs = (Tensor("input-0", "INT32", (-1, 3)),)
    outputs = (Tensor("total", "INT32", (-1, 1)),)
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    node = helper.make_node("ReduceSum", ["input-0", "axes"], ["total"])
    model = onnx_models.build([node], _named(inputs), _named(outputs), [axes])
    signature = Signature("Regression", inputs, outputs, score="total")
    yield from _serve(tmp_path_factory.mktemp("total"), model, signature)


@pytest.fixture(scope="session")
def rain(tmp_path_factory) -> Iterator[Server]:
    """The rain classifier: a column for each feature."""
    yield from _run(bundles.write(tmp_path_factory.mktemp("rain") / "model"))


def _named(tensors):
    return [(tensor.name, tensor.datatype, tensor.shape) for tensor in tensors]
