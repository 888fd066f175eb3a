"""Secrets of a ModelDeployment: keys that clients must show, and receipts, on the way through a router."""

import base64
import json

import grpc
import pytest
from hack import caches

from modelyard_core import receipts
from modelyard_serving.grpc_wire import inference_pb2 as wire
from support import bundles, onnx_models
from support.bundles import Bundle
from support.kube import Kube, Obj
from support.stored_bundles import WRITER, deployment, version, write

pytestmark = pytest.mark.cluster

NAME = "guarded"
SHAPE = ("FP32", (-1, 1))
SIGNING_KEY = b"a key of at least 16 bytes"
SECRETS = {"access": {"secretName": "client-keys"}, "receipts": {"secretName": "signing"}}
METHOD = "/inference.GRPCInferenceService/ModelInfer"

ASK = """
import base64, http.client, json, sys
host, port, path, *keys = sys.argv[1:]
body = json.dumps({"inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [0.5]}]})
for key in keys:
    connection = http.client.HTTPConnection(host, int(port))
    headers = {"authorization": f"Bearer {key}"} if key else {}
    connection.request("POST" if "infer" in path else "GET", path, body, headers)
    answer = connection.getresponse()
    found = base64.b64encode(answer.read()).decode()
    print(json.dumps([answer.status, answer.headers.get("x-modelyard-receipt"), found]))
"""
"""Prints what each key gets: status, receipt, body."""


def secret(name: str, **entries: bytes) -> Obj:
    data = {entry: base64.b64encode(text).decode() for entry, text in entries.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}


def serving_pod(kube: Kube) -> Obj:
    (pod,) = kube.list(
        "pods", f"modelyard.dev/deployment={NAME},app.kubernetes.io/component=serving"
    )
    return pod


def ask(kube: Kube, path: str, *keys: str, host: str = NAME, port: int = 80) -> list[list[str]]:
    """Return what each key gets, asked from inside of the cluster."""
    name = serving_pod(kube)["metadata"]["name"]
    command = ("python", "-c", ASK, host, str(port), path, *keys)
    said = kube.run("exec", name, "-c", "serving", "--", *command)
    return [json.loads(line) for line in said.splitlines()]


def call(kube: Kube, key: str) -> grpc.StatusCode:
    """Return how a call with a key ends."""
    request = wire.ModelInferRequest(model_name=NAME, raw_input_contents=[bytes(4)])
    request.inputs.add(name="x", datatype="FP32", shape=(1, 1))
    with (
        kube.port_forward(f"svc/{NAME}", 9000) as port,
        grpc.insecure_channel(f"127.0.0.1:{port}", (("grpc.enable_http_proxy", 0),)) as channel,
    ):
        metadata = [("authorization", f"Bearer {key}")]
        made = channel.unary_unary(METHOD).future(
            request.SerializeToString(), timeout=30, metadata=metadata
        )
        return made.code()


@pytest.fixture(scope="module")
def stored(kube: Kube, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle in the claim."""
    made = bundles.in_store(
        tmp_path_factory.mktemp("store"),
        model=onnx_models.echo(*SHAPE),
        signature=onnx_models.echo_signature(*SHAPE),
        profile=onnx_models.EMPTY_PROFILE,
    )
    image = json.loads(caches.image_list().read_text())["serving"]
    write(kube, image, made, "bundle", WRITER, made.uri)
    return made


@pytest.fixture(scope="module")
def waiting(kube: Kube, stored: Bundle) -> Obj:
    """The status of a deployment whose Secrets are not there."""
    kube.apply(version(stored, NAME), deployment(NAME, **SECRETS))
    return kube.wait_status("mdeploy", NAME, lambda s: "needs the Secret" in s.get("summary", ""))


@pytest.fixture(scope="module")
def served(kube: Kube, waiting: Obj) -> Obj:
    """The status of the deployment with its Secrets."""
    kube.apply(secret("client-keys", keys=b"first\n"), secret("signing", key=SIGNING_KEY))
    return kube.wait_status("mdeploy", NAME, lambda s: s.get("phase") == "Idle", 180)


def test_the_status_names_the_secrets_that_a_pod_waits_for(waiting: Obj):
    assert waiting["summary"] == (
        "v1: 0 of 1 pods ready: a pod has not started; it needs the Secret client-keys and "
        "the Secret signing."
    )
    ready = next(c for c in waiting["conditions"] if c["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "WaitingForPods")


def test_a_key_of_the_secret_opens_the_model(kube: Kube, served: Obj):
    path = f"/v2/models/{NAME}/infer"

    statuses = [status for status, *_ in ask(kube, path, "", "wrong", "first")]

    assert statuses == [401, 401, 200]
    assert call(kube, "wrong") is grpc.StatusCode.UNAUTHENTICATED
    assert call(kube, "first") is grpc.StatusCode.OK


def test_answers_carry_receipts_through_the_router(kube: Kube, served: Obj):
    ((status, receipt, body),) = ask(kube, f"/v2/models/{NAME}/infer", "first")

    assert status == 200
    receipts.verify(receipt, [SIGNING_KEY], base64.b64decode(body))


def test_what_the_monitor_and_the_operator_read_needs_no_key(kube: Kube, served: Obj):
    revision = served["stable"]["revision"]

    for path in ("/v1/sketch", "/v1/answers", "/v2/health/ready", "/metrics"):
        ((status, *_),) = ask(kube, path, "", host=revision, port=8080)
        assert status == 200, path


def test_an_exchanged_secret_is_followed_without_a_restart(kube: Kube, served: Obj):
    path = f"/v2/models/{NAME}/infer"
    name = serving_pod(kube)["metadata"]["name"]

    kube.apply(secret("client-keys", keys=b"second\n"))
    kube.run("annotate", "pod", name, "test/woken=now")  # else the kubelet looks once a minute

    def exchanged() -> bool | None:
        return [status for status, *_ in ask(kube, path, "first", "second")] == [401, 200] or None

    kube.wait("the new key", exchanged)
    pod = serving_pod(kube)
    (container,) = pod["status"]["containerStatuses"]
    assert (pod["metadata"]["name"], container["restartCount"]) == (name, 0)
    assert kube.status("mdeploy", NAME)["attempt"] == 1


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("access", "no key can be read from /modelyard/access/keys: every request is refused"),
        ("receipts", "/modelyard/receipts/key holds no key of at least 16 bytes"),
    ],
)
def test_a_secret_without_its_entry_is_told_by_the_server(
    kube: Kube, stored: Bundle, field: str, words: str
):
    name = f"without-{field}"
    reference = {field: {"secretName": "wordless"}}
    kube.apply(secret("wordless"), version(stored, name), deployment(name, **reference))

    status = kube.wait_status("mdeploy", name, lambda s: words in s.get("summary", ""))

    assert status["summary"] == f"v1: 0 of 1 pods ready: {words}."
    kube.run("delete", "mdeploy", name, "--wait=false")
