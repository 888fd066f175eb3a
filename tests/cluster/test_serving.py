"""Serving pods without a router: what gets ready, what stays out, and what clients see of a restart."""

import base64
import json
from collections.abc import Iterator

import pytest
import trustme
from hack import caches

from modelyard_core import bundle
from modelyard_core.canonical import digest_file
from support import bundles, onnx_models
from support.bundles import Bundle
from support.kube import Kube, Obj
from support.rollout_load import Load
from support.secret_mount import pair
from support.stored_bundles import HARDENED, POD, WRITER, deployment, version, write

pytestmark = pytest.mark.cluster

NAME = "rain"
SHAPE = ("FP32", (-1, 1))
TAMPERED = "pvc://models/rain/tampered"
TAMPERER = """
model = folder / "model.onnx"
model.write_bytes(model.read_bytes()[:-1] + b"?")
"""
UNTRUE = "input 'x' is FP32 [-1, 1] in the model, FP64 [-1, 1] in the signature"

LOOK = """
import hashlib, http.client, ssl, sys
context = ssl._create_unverified_context()
connection = http.client.HTTPSConnection("127.0.0.1", 8080, context=context)
for key in sys.argv[1:]:
    headers = {"authorization": f"Bearer {key}"}
    connection.request("GET", "/v2/models/rain", headers=headers)
    answer = connection.getresponse()
    answer.read()
    print(answer.status)
print(hashlib.sha256(connection.sock.getpeercert(True)).hexdigest())
"""
"""Prints what each key gets, and the certificate."""


@pytest.fixture(scope="module")
def image() -> str:
    return json.loads(caches.image_list().read_text())["serving"]


@pytest.fixture(scope="module")
def stored(kube: Kube, image: str, tmp_path_factory) -> Bundle:
    """A bundle in the claim, and a second one of which one byte was changed."""
    made = bundles.in_store(
        tmp_path_factory.mktemp("store"),
        model=onnx_models.echo(*SHAPE),
        signature=onnx_models.echo_signature(*SHAPE),
        profile=onnx_models.EMPTY_PROFILE,
    )
    write(kube, image, made, "bundle", WRITER + TAMPERER, made.uri, TAMPERED)
    return made


@pytest.fixture(scope="module")
def untrue(kube: Kube, image: str, tmp_path_factory) -> Bundle:
    """A bundle in the claim whose model is not what its signature says."""
    made = bundles.in_store(
        tmp_path_factory.mktemp("store"),
        model=onnx_models.echo(*SHAPE),
        signature=onnx_models.echo_signature("FP64", SHAPE[1]),
        profile=onnx_models.EMPTY_PROFILE,
    )
    write(kube, image, made, "untrue", WRITER, made.uri)
    return made


def serving(name: str, image: str, uri: str, digest: str, replicas: int = 2) -> Obj:
    """Return a Deployment of serving pods."""
    labels = {"app": name, "app.kubernetes.io/component": "serving"}
    fetch = {
        "name": "fetch",
        "image": image,
        "command": ["modelyard-fetch"],
        "env": environment(BUNDLE_URI=uri, BUNDLE_DIGEST=digest),
        "securityContext": HARDENED,
        "volumeMounts": [
            {"name": "model", "mountPath": "/modelyard/model"},
            {"name": "store", "mountPath": "/modelyard/store", "readOnly": True},
        ],
    }
    serve = {
        "name": "serving",
        "image": image,
        "env": environment(
            MODEL_NAME=NAME, MODEL_VERSION="1", DIGEST=digest, REVISION=name, DRAIN_SECONDS="8"
        ),
        "securityContext": HARDENED,
        "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
        "readinessProbe": {
            "httpGet": {"path": "/v2/health/ready", "port": 8080},
            "periodSeconds": 1,
        },
        "volumeMounts": [{"name": "model", "mountPath": "/modelyard/model", "readOnly": True}],
    }
    volumes = [
        {"name": "model", "emptyDir": {}},
        {"name": "store", "persistentVolumeClaim": {"claimName": "models", "readOnly": True}},
    ]
    pod = POD | {"initContainers": [fetch], "containers": [serve], "volumes": volumes}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def environment(**variables: str) -> list[Obj]:
    return [{"name": f"MODELYARD_{name}", "value": value} for name, value in variables.items()]


@pytest.fixture(scope="module")
def load(kube: Kube, image: str, stored: Bundle) -> Iterator[Load]:
    """Ready pods behind a Service, and a client that never stops."""
    ports = [{"port": 80, "targetPort": 8080}]
    kube.apply(
        serving(NAME, image, stored.uri, stored.digest),
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": NAME},
            "spec": {"selector": {"app": NAME}, "ports": ports},
        },
    )
    kube.run("rollout", "status", f"deployment/{NAME}", "--timeout=55s")
    load = Load(kube, NAME, ("x",))
    load.start()
    yield load
    load.stop()
    end_at_once(kube, NAME)


def end_at_once(kube: Kube, name: str) -> None:
    """Delete a Deployment without the time that its pods take to leave."""
    kube.run("delete", "deployment", name, "--cascade=orphan")
    kube.run("delete", "replicasets,pods", "-l", f"app={name}", "--force", "--grace-period=0")


def test_a_rolling_restart_loses_no_request(kube: Kube, load: Load):
    before = {pod["metadata"]["name"] for pod in kube.list("pods", f"app={NAME}")}
    load.wait_for_more(200)

    kube.run("rollout", "restart", f"deployment/{NAME}")
    kube.run("rollout", "status", f"deployment/{NAME}", "--timeout=55s")

    def gone() -> bool | None:
        now = {pod["metadata"]["name"] for pod in kube.list("pods", f"app={NAME}")}
        return not before & now or None

    kube.wait("the pods of before are gone", gone)
    load.wait_for_more(200)
    seen = load.read()
    assert (seen.failures, seen.errors, seen.broken) == (0, {}, {})


def locked(image: str, made: Bundle) -> Obj:
    """Return a Deployment whose server asks for a key and speaks TLS, from two Secrets."""
    deployment = serving("locked", image, made.uri, made.digest, replicas=1)
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    container["env"] += environment(
        TLS_DIR="/modelyard/tls", KEYS_FILE="/modelyard/keys/keys", ROTATION_SECONDS="1"
    )
    container["readinessProbe"]["httpGet"]["scheme"] = "HTTPS"
    for name in ("tls", "keys"):
        mount = {"name": name, "mountPath": f"/modelyard/{name}", "readOnly": True}
        container["volumeMounts"].append(mount)
        pod["volumes"].append({"name": name, "secret": {"secretName": name}})
    return deployment


def secrets(authority: trustme.CA, keys: str) -> tuple[Obj, Obj]:
    """Return the two Secrets, with a certificate of their own."""
    files = {name.replace("_", "."): data for name, data in pair(authority).items()}
    head = {"apiVersion": "v1", "kind": "Secret"}
    return (
        head | {"metadata": {"name": "tls"}, "data": encoded(files)},
        head | {"metadata": {"name": "keys"}, "data": encoded({"keys": keys.encode()})},
    )


def encoded(files: dict[str, bytes]) -> dict[str, str]:
    return {name: base64.b64encode(data).decode() for name, data in files.items()}


def test_exchanged_secrets_are_followed_without_a_restart(kube: Kube, image: str, stored: Bundle):
    authority = trustme.CA()
    kube.apply(*secrets(authority, "old"), locked(image, stored))
    kube.run("rollout", "status", "deployment/locked", "--timeout=55s")
    (pod,) = kube.list("pods", "app=locked")
    name = pod["metadata"]["name"]

    def seen() -> list[str]:
        command = ("python", "-c", LOOK, "old", "new")
        return kube.run("exec", name, "-c", "serving", "--", *command).split()

    *before, first = seen()
    kube.apply(*secrets(authority, "new"))
    kube.run("annotate", "pod", name, "test/woken=now")  # else the kubelet looks once a minute

    def exchanged() -> bool | None:
        *codes, certificate = seen()
        return (codes == ["401", "200"] and certificate != first) or None

    kube.wait("the new key and the new certificate", exchanged)
    (container,) = kube.get("pod", name)["status"]["containerStatuses"]
    assert before == ["200", "401"]
    assert (container["restartCount"], container["ready"]) == (0, True)
    end_at_once(kube, "locked")


def test_a_bundle_with_one_changed_byte_stays_out(kube: Kube, image: str, stored: Bundle):
    kube.apply(serving("tampered", image, TAMPERED, stored.digest, replicas=1))

    def refusal() -> Obj | None:
        for pod in kube.list("pods", "app=tampered"):
            for container in pod["status"].get("initContainerStatuses", ()):
                for state in (container["state"], container["lastState"]):
                    if "terminated" in state:
                        return state["terminated"]
        return None

    ended = kube.wait("the fetch refuses the bundle", refusal)
    assert ended["exitCode"] == 1
    assert ended["message"].startswith("model.onnx has sha256:")
    assert ended["message"].endswith(digest_file(stored.folder / bundle.MODEL))


def test_a_server_that_never_gets_ready_says_why_in_the_deployments_status(
    kube: Kube, untrue: Bundle
):
    kube.apply(version(untrue, "untrue"), deployment("untrue"))

    status = kube.wait_status("mdeploy", "untrue", lambda s: UNTRUE in s.get("summary", ""))

    assert status["summary"] == f"v1: 0 of 1 pods ready: {UNTRUE}."
    ready = next(c for c in status["conditions"] if c["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "WaitingForPods")
    assert UNTRUE in ready["message"]
    kube.run("delete", "mdeploy", "untrue", "--wait=false")


def test_the_reason_outlives_the_container(kube: Kube, image: str, untrue: Bundle):
    kube.apply(serving("stopped", image, untrue.uri, untrue.digest, replicas=1))
    pod = kube.wait("a pod", lambda: next(iter(kube.list("pods", "app=stopped")), None))
    name = pod["metadata"]["name"]

    def is_refusing() -> bool | None:
        containers = kube.get("pod", name)["status"].get("containerStatuses", ())
        is_running = any("running" in container["state"] for container in containers)
        return (is_running and UNTRUE in kube.run("logs", name, "-c", "serving")) or None

    kube.wait("its reason", is_refusing)
    kube.run("exec", name, "-c", "serving", "--", "python", "-c", "import os; os.kill(1, 15)")

    def last_words() -> str | None:
        for container in kube.get("pod", name)["status"].get("containerStatuses", ()):
            for state in (container["state"], container["lastState"]):
                if "terminated" in state:
                    return str(state["terminated"].get("message", ""))
        return None

    assert kube.wait("its end", last_words) == UNTRUE
