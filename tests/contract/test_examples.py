"""The examples' manifests: the API server takes every field of them, and the pods are restricted."""

from pathlib import Path

import pytest
import yaml

EXAMPLES = Path(__file__).parents[2] / "examples"
DRY = "dryRun=All&fieldValidation=Strict"
PLURALS = {
    "ConfigMap": "configmaps",
    "Job": "jobs",
    "PersistentVolumeClaim": "persistentvolumeclaims",
    "Pod": "pods",
    "ModelTraining": "modeltrainings",
    "ModelDeployment": "modeldeployments",
    "DriftMonitor": "driftmonitors",
}
FILLED_IN = {
    "${MODEL}": "pvc://models/rain/versions/sha256-" + "0" * 64,
    "${IMAGE}": "registry.invalid/image:1",
    "${BUCKET}": "bucket",
    "${NAME}": "one",
    "${TABLE}": "after.csv",
    "${RATE}": "5",
}

pytestmark = pytest.mark.cluster


def documents():
    for path in sorted(EXAMPLES.glob("*/*.yaml")):
        text = path.read_text()
        for word, value in FILLED_IN.items():
            text = text.replace(word, value)
        for document in filter(None, yaml.safe_load_all(text)):
            name = f"{path.parent.name}-{path.stem}-{document['kind']}"
            yield pytest.param(document, id=name)


DOCUMENTS = list(documents())
WITH_PODS = [each for each in DOCUMENTS if each.values[0]["kind"] in ("Job", "Pod")]


@pytest.fixture(scope="module")
def namespace(api_server_with_crds):
    """A namespace that takes no pods but restricted ones."""
    document = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": "examples",
            "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
        },
    }
    api_server_with_crds.call("POST", "/api/v1/namespaces", document)
    return "examples"


def create(server, namespace, document):
    group = document["apiVersion"]
    root = "/api" if "/" not in group else "/apis"
    path = f"{root}/{group}/namespaces/{namespace}/{PLURALS[document['kind']]}?{DRY}"
    return server.call("POST", path, document)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_api_server_takes_it(api_server_with_crds, namespace, document):
    made = create(api_server_with_crds, namespace, document)

    assert made["metadata"]["name"] == document["metadata"]["name"]


@pytest.mark.parametrize("document", WITH_PODS)
def test_its_pods_are_restricted(api_server_with_crds, namespace, document):
    spec = document["spec"]["template"]["spec"] if document["kind"] == "Job" else document["spec"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": spec}

    assert create(api_server_with_crds, namespace, pod)["spec"]["containers"]
