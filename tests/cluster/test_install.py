"""The installation on a real cluster: both forms are accepted, its rights suffice, nothing stays."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from hack import release

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
SYSTEM = "modelyard-system"
OPERATOR = "app.kubernetes.io/name=modelyard,app.kubernetes.io/component=operator"
KINDS = "all,leases,persistentvolumeclaims,networkpolicies,roles,rolebindings,poddisruptionbudgets"
"""What a release may make in its namespace."""


@pytest.fixture
def second_release(kube):
    """A second installation that watches one namespace only; removed even when the test fails."""
    helm = shutil.which("helm")
    assert helm, "helm is not on the path; run the tests with `make test`"
    namespace = f"{kube.namespace}-release"
    base = [helm, f"--kubeconfig={kube.base[2]}", f"--namespace={namespace}"]
    switches = {
        "watchNamespaces[0]": kube.namespace,
        "crds.enabled": "false",
        "rbac.aggregate": "false",
        "networkPolicy.enabled": "true",
        **{f"images.{program}": reference for program, reference in release.chart_images().items()},
    }
    pairs = [f"--set={name}={value}" for name, value in switches.items()]
    command = ["install", "modelyard", str(ROOT / "charts" / "modelyard"), "--create-namespace"]
    try:
        subprocess.run([*base, *command, "--wait", "--timeout=240s", *pairs], check=True)
        yield namespace, base
    finally:
        subprocess.run([*base, "uninstall", "modelyard", "--ignore-not-found"], check=True)
        kube.run("delete", "namespace", namespace, "--wait=false")


def names(kube, namespace):
    found = kube.run("-n", namespace, "get", KINDS, "-o", "name", "--ignore-not-found")
    return set(found.split())


def test_the_api_server_accepts_the_kustomization(kube):
    kustomize = ["--dry-run=server", "-k", str(ROOT / "manifests" / "base")]

    answer = kube.run("-n", SYSTEM, "apply", "--server-side", "--force-conflicts", *kustomize)

    assert "deployment.apps/modelyard-operator serverside-applied" in answer
    assert "customresourcedefinition.apiextensions.k8s.io/modelversions.modelyard.dev" in answer


def test_two_replicas_stand_ready_and_one_leads(kube):
    pods = json.loads(kube.run("-n", SYSTEM, "get", "pods", "-l", OPERATOR, "-o", "json"))["items"]
    lease = json.loads(kube.run("-n", SYSTEM, "get", "lease", "modelyard-operator", "-o", "json"))

    assert lease["spec"]["holderIdentity"] in {pod["metadata"]["name"] for pod in pods}
    assert sum(_is_ready(pod) for pod in pods) >= 2


def test_the_operator_was_never_refused_for_lack_of_rights(kube):
    logs = kube.run("-n", SYSTEM, "logs", "-l", OPERATOR, "--tail=-1")

    assert [line for line in logs.splitlines() if "is forbidden: User" in line] == []


def test_a_release_for_one_namespace_leads_and_leaves_nothing(kube, second_release):
    namespace, helm = second_release

    def leader():
        lease = json.loads(
            kube.run("-n", namespace, "get", "lease", "modelyard-operator", "-o", "json")
        )
        return lease.get("spec", {}).get("holderIdentity") or None

    kube.wait("a leader", leader)
    logs = kube.run("-n", namespace, "logs", "-l", OPERATOR, "--tail=-1")
    assert "is forbidden: User" not in logs
    assert "role.rbac.authorization.k8s.io/modelyard-operator-lease" in names(kube, namespace)

    subprocess.run([*helm, "uninstall", "modelyard", "--wait"], check=True)

    kube.wait("an empty namespace", lambda: True if not names(kube, namespace) else None)
    assert not [name for name in names(kube, kube.namespace) if "/modelyard-" in name]


def _is_ready(pod):
    conditions = pod["status"].get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
