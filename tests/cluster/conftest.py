"""A real cluster with the product installed: `make test` brings it up; nothing is faked here."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.kube import Kube

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "modelyard"
STORE = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "models"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}


@pytest.fixture(scope="session")
def kubeconfig() -> Path:
    return Path(os.environ.get("KUBECONFIG", CACHE / "cluster" / "admin.conf"))


@pytest.fixture(scope="session")
def kubectl() -> str:
    found = shutil.which("kubectl")
    assert found, "kubectl is not on the path; run the tests with `make test`"
    return found


@pytest.fixture(scope="module")
def kube(request, kubectl: str, kubeconfig: Path) -> Iterator[Kube]:
    """A namespace of this test module's own, restricted, with a claim for bundles."""
    name = "test-" + request.module.__name__.rpartition(".")[2].removeprefix("test_")
    name = name.replace("_", "-")[:50]
    base = [kubectl, "--kubeconfig", str(kubeconfig)]
    subprocess.run([*base, "delete", "namespace", name, "--ignore-not-found"], check=True)
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": name,
            "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
        },
    }
    subprocess.run([*base, "apply", "-f", "-"], input=json.dumps(namespace), text=True, check=True)
    kube = Kube(kubectl, kubeconfig, name)
    kube.apply(STORE)
    yield kube
    subprocess.run([*base, "delete", "namespace", name, "--wait=true"], check=True, timeout=180)
