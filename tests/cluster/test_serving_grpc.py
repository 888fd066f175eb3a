"""gRPC through a ModelDeployment's Service: which version answers, and what a rollout does to calls."""

import json
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from hack import caches

from modelyard_serving.grpc_wire import inference_pb2 as wire
from support import broken_image, bundles, onnx_models
from support.bundles import Bundle
from support.kube import Kube, Obj
from support.rollout_load import GrpcLoad, Seen
from support.stored_bundles import WRITER, deployment, version, write

pytestmark = pytest.mark.cluster

NAME = "echo"
SHAPE = ("FP32", (-1, 1))
ROLLOUT = {
    "steps": [{"weight": 20}, {"weight": 50}],
    "analysis": {"minRequests": 50, "checks": [{"type": "Errors", "tolerance": "0.05"}]},
    "drain": "5s",
}
NUMBERS = np.array([[1.5], [-2.0]], np.float32)
METHOD = "/inference.GRPCInferenceService/ModelInfer"


def stored(kube: Kube, folder: Path, number: int) -> Bundle:
    """Return a bundle of one model; another number is another digest."""
    made = bundles.in_store(
        folder,
        model=onnx_models.echo(*SHAPE),
        signature=onnx_models.echo_signature(*SHAPE),
        profile=onnx_models.EMPTY_PROFILE,
        more={"card.md": str(number).encode()},
    )
    image = json.loads(caches.image_list().read_text())["serving"]
    write(kube, image, made, f"bundle-{number}", WRITER, made.uri)
    return made


def message() -> bytes:
    request = wire.ModelInferRequest(model_name=NAME, raw_input_contents=[NUMBERS.tobytes()])
    request.inputs.add(name="x", datatype="FP32", shape=NUMBERS.shape)
    return request.SerializeToString()


def wanted(**runtime: object) -> Obj:
    return deployment(NAME, ROLLOUT, **runtime)


@pytest.fixture(scope="module")
def load(kube: Kube, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GrpcLoad]:
    """A deployment of version 1, and a client that never stops calling it."""
    kube.apply(version(stored(kube, tmp_path_factory.mktemp("one"), 1), NAME), wanted())
    kube.wait_status("mdeploy", NAME, lambda s: s.get("phase") == "Idle")
    load = GrpcLoad(kube, NAME, message())
    load.start()
    yield load
    load.stop()


def finish(kube: Kube, attempt: int) -> Obj:
    """Wait until an attempt has ended and return the status."""

    def is_over(status: Obj) -> bool:
        last = status.get("lastAttempt") or {}
        return last.get("attempt") == attempt and not status.get("draining")

    return kube.wait_status("mdeploy", NAME, is_over, 180)


def infer(kube: Kube) -> tuple[wire.ModelInferResponse, dict[str, str]]:
    """Return one answer and its metadata, as a client of gRPC's own library sees them."""
    with (
        kube.port_forward(f"svc/{NAME}", 9000) as port,
        grpc.insecure_channel(f"127.0.0.1:{port}", (("grpc.enable_http_proxy", 0),)) as channel,
    ):
        call = channel.unary_unary(
            METHOD, response_deserializer=wire.ModelInferResponse.FromString
        ).future(message(), timeout=30)
        return call.result(), {
            name: str(value) for name, value in call.initial_metadata() if value is not None
        }


def test_the_version_that_serves_answers(kube: Kube, load: GrpcLoad):
    answer, metadata = infer(kube)

    assert (answer.model_name, answer.model_version) == (NAME, "1")
    assert answer.raw_output_contents[0] == NUMBERS.tobytes()
    revision = kube.status("mdeploy", NAME)["stable"]["revision"]
    assert metadata["x-modelyard-revision"] == revision
    service = kube.get("service", NAME)["spec"]["ports"]
    assert {port["name"]: port["port"] for port in service} == {"http": 80, "grpc": 9000}


def test_calls_alone_promote_a_good_version_and_none_is_lost(
    kube: Kube, load: GrpcLoad, tmp_path: Path
):
    made = stored(kube, tmp_path, 2)
    before = load.read()

    kube.apply(version(made, NAME, 2))
    status = finish(kube, 2)
    load.wait_for_more(200)
    seen = load.read() - before

    last = status["lastAttempt"]
    assert (last["outcome"], last["reason"]) == ("Promoted", "EveryStepPassed")
    assert last["analysis"][0]["nCanary"] >= 50
    assert seen.good[last["revision"]] > 0
    assert seen.failures == 0, seen
    assert infer(kube)[0].model_version == "2"


def test_a_version_whose_calls_fail_is_turned_back(
    kube: Kube, load: GrpcLoad, tmp_path_factory: pytest.TempPathFactory
):
    stable = kube.status("mdeploy", NAME)["stable"]
    broken = broken_image.ensure(Path(tmp_path_factory.mktemp("broken")))
    before = load.read()

    kube.apply(wanted(image=broken))
    status = finish(kube, 3)
    seen: Seen = load.read() - before
    kube.apply(wanted())

    assert status["lastAttempt"]["reason"] in ("CandidateFailing", "AnalysisFailed")
    assert (status["phase"], status["stable"]) == ("Aborted", stable)
    assert set(seen.errors) <= {status["lastAttempt"]["revision"]}
    assert seen.broken == {}, seen


def routers(kube: Kube) -> set[str]:
    labels = f"modelyard.dev/deployment={NAME},app.kubernetes.io/component=router"
    return {pod["metadata"]["name"] for pod in kube.list("pods", labels)}


def test_routers_may_be_replaced_while_clients_call(kube: Kube, load: GrpcLoad):
    before, old = load.read(), routers(kube)

    kube.run("rollout", "restart", f"deployment/{NAME}-router")
    kube.run("rollout", "status", f"deployment/{NAME}-router", "--timeout=55s")
    kube.wait("the routers of before are gone", lambda: not old & routers(kube) or None)
    load.wait_for_more(100)
    seen = load.read() - before

    assert seen.failures == 0, seen


def test_a_serving_pod_may_leave_while_clients_call(kube: Kube, load: GrpcLoad):
    before = load.read()
    revision = kube.status("mdeploy", NAME)["stable"]["revision"]
    labels = f"modelyard.dev/revision={revision}"
    kube.run("patch", "mdeploy", NAME, "--type=merge", "-p", '{"spec": {"replicas": 2}}')
    kube.wait_status("mdeploy", NAME, lambda s: s.get("ready") == "2/2")
    leaving = kube.list("pods", labels)[0]["metadata"]["name"]

    kube.run("delete", "pod", leaving, "--wait=false")
    kube.wait("the pod is gone", lambda: not kube.get("pod", leaving) or None)
    load.wait_for_more(100)
    seen = load.read() - before

    assert seen.failures == 0, seen
