"""The installation: the chart and the kustomization are one thing, and its rights are exact."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from hack import caches

from modelyard_operator import handlers
from modelyard_operator.__main__ import KINDS

ROOT = Path(__file__).parents[2]
BASE = ROOT / "manifests" / "base"
CHART = ROOT / "charts" / "modelyard"
HELMS_OWN = ("helm.sh/chart", "app.kubernetes.io/managed-by")

OPERATOR = {
    "modelyard.dev/modeltrainings": "get list watch",
    "modelyard.dev/modelversions": "get list watch create",
    "modelyard.dev/modeldeployments": "get list watch",
    "modelyard.dev/driftmonitors": "get list watch",
    "modelyard.dev/modeltrainings/status": "patch",
    "modelyard.dev/modelversions/status": "patch",
    "modelyard.dev/modeldeployments/status": "patch",
    "modelyard.dev/driftmonitors/status": "patch",
    "batch/jobs": "get list watch create delete",
    "apps/deployments": "get list watch create patch delete",
    "/services": "get list watch create patch delete",
    "/configmaps": "get list watch create patch delete",
    "policy/poddisruptionbudgets": "get list watch create patch",
    "/pods": "list watch patch",
    "events.k8s.io/events": "create",
}
LEASE = {"coordination.k8s.io/leases": "create get update"}
VIEW = {
    f"modelyard.dev/{plural}": "get list watch"
    for plural in ("modeltrainings", "modelversions", "modeldeployments", "driftmonitors")
}
EDIT = {
    f"modelyard.dev/{plural}": "create update patch delete deletecollection"
    for plural in ("modeltrainings", "modeldeployments", "driftmonitors")
}
ADMIN = {"modelyard.dev/modelversions": "delete deletecollection"}


def objects(text):
    found = [document for document in yaml.safe_load_all(text) if document]
    return {(o["kind"], o["metadata"].get("namespace"), o["metadata"]["name"]): o for o in found}


def base():
    texts = [
        path.read_text() for path in sorted(BASE.glob("*.yaml")) if path.stem != "kustomization"
    ]
    return objects("\n---\n".join(texts))


def rights(role):
    """Return the verbs of each resource, as one set of words."""
    found: dict[str, set[str]] = {}
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                found.setdefault(f"{group}/{resource}", set()).update(rule["verbs"])
    return found


def words(table):
    return {resource: set(verbs.split()) for resource, verbs in table.items()}


def pods(found):
    return [
        pytest.param(obj["spec"]["template"]["spec"], id=key[2])
        for key, obj in found.items()
        if key[0] in ("Deployment", "StatefulSet")
    ]


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("ClusterRole", "modelyard-operator", OPERATOR),
        ("Role", "modelyard-operator-lease", LEASE),
        ("ClusterRole", "modelyard-view", VIEW),
        ("ClusterRole", "modelyard-edit", EDIT),
        ("ClusterRole", "modelyard-admin", ADMIN),
    ],
)
def test_rights_are_exactly_these(kind, name, expected):
    (role,) = (o for key, o in base().items() if key[0] == kind and key[2] == name)

    assert rights(role) == words(expected)


def test_everything_that_is_watched_may_be_listed_and_watched():
    granted = rights(base()["ClusterRole", None, "modelyard-operator"])

    for resource in handlers.watched_children(KINDS):
        assert {"list", "watch"} <= granted[f"{resource.group}/{resource.plural}"]


def test_no_role_has_wildcards_or_reaches_secrets():
    for (kind, _, name), role in base().items():
        if kind in ("Role", "ClusterRole"):
            named = rights(role)
            assert "*" not in json.dumps(role["rules"]), name
            reached = {resource.split("/")[1] for resource in named}
            forbidden = {"secrets", "serviceaccounts", "roles", "rolebindings", "nodes"}
            assert not reached & forbidden, name
            assert "pods/exec" not in "".join(named), name


def test_only_the_operator_has_rights_on_anything():
    bound = [
        subject["name"]
        for (kind, _, _), binding in base().items()
        if kind.endswith("Binding")
        for subject in binding["subjects"]
    ]

    assert set(bound) == {"modelyard-operator"}


@pytest.mark.parametrize("pod", pods(base()))
def test_pods_are_restricted(pod):
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]
        assert {"livenessProbe", "readinessProbe", "startupProbe"} <= set(container)


def test_the_monitor_holds_no_token():
    monitor = base()["StatefulSet", "modelyard-system", "modelyard-monitor"]

    assert monitor["spec"]["template"]["spec"]["automountServiceAccountToken"] is False


# ---- with helm and kubectl ---------------------------------------------------------------------------


def tool(name):
    found = shutil.which(name, path=f"{caches.programs()}{os.pathsep}{os.environ['PATH']}")
    assert found, f"{name} is missing: `make cluster-up` builds it"
    return found


def helm(*arguments):
    command = [tool("helm"), "template", "modelyard", str(CHART), "-n", "modelyard-system"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return objects(done.stdout)


def without_helms_labels(value):
    if isinstance(value, dict):
        return {k: without_helms_labels(v) for k, v in value.items() if k not in HELMS_OWN}
    if isinstance(value, list):
        return [without_helms_labels(item) for item in value]
    return value


@pytest.mark.cluster
def test_chart_and_kustomization_render_the_same_objects():
    built = subprocess.run(
        [tool("kubectl"), "kustomize", str(BASE)], capture_output=True, text=True, check=True
    ).stdout

    kustomized = objects(built)
    del kustomized["Namespace", None, "modelyard-system"]

    rendered = without_helms_labels(helm("--set", "crds.keep=false"))
    assert rendered.keys() == kustomized.keys()
    assert rendered == without_helms_labels(kustomized)


@pytest.mark.cluster
def test_with_a_list_of_namespaces_no_right_reaches_beyond_it():
    found = helm("--set", "watchNamespaces={rain,snow}", "--set", "rbac.aggregate=false")

    kinds = {key[0] for key in found}
    assert not kinds & {"ClusterRole", "ClusterRoleBinding"}
    for namespace in ("rain", "snow"):
        assert rights(found["Role", namespace, "modelyard-operator"]) == words(OPERATOR)


@pytest.mark.cluster
def test_an_image_is_a_reference_a_digest_or_a_tag():
    digest = "sha256:" + 64 * "a"
    found = helm(
        "--set",
        f"image.registry=r.example.com/m,image.tag=v7,image.digests.router={digest},images.serving=mine:1",
    )

    operator = found["Deployment", "modelyard-system", "modelyard-operator"]
    (container,) = operator["spec"]["template"]["spec"]["containers"]
    environment = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert container["image"] == "r.example.com/m/operator:v7"
    assert environment["MODELYARD_TRAINING_IMAGE"] == "r.example.com/m/training:v7"
    assert environment["MODELYARD_ROUTER_IMAGE"] == f"r.example.com/m/router@{digest}"
    assert environment["MODELYARD_SERVING_IMAGE"] == "mine:1"


@pytest.mark.cluster
def test_a_misspelt_value_is_refused_and_a_parent_charts_are_not():
    helm("--set", "global.x=1,enabled=true")
    with pytest.raises(AssertionError, match="replica"):
        helm("--set", "operator.replica=3")


@pytest.mark.cluster
def test_everything_optional_renders():
    found = helm(
        "--set",
        "networkPolicy.enabled=true,networkPolicy.namespaces={rain},metrics.podMonitor.enabled=true",
        "--set-json",
        'networkPolicy.metricsFrom=[{"namespaceSelector":{"matchLabels":{"a":"b"}}}]',
        "--set-json",
        'operator.tolerations=[{"operator":"Exists"}]',
        "--set",
        "operator.nodeSelector.disk=fast,image.pullSecrets={mine},monitor.storage.keep=true",
    )

    assert ("NetworkPolicy", "rain", "modelyard-router") in found
    serving, calls = found["NetworkPolicy", "rain", "modelyard-serving"]["spec"]["ingress"]
    assert calls == {"from": [{"podSelector": {}}], "ports": [{"port": 9000}]}
    routers, _ = found["NetworkPolicy", "rain", "modelyard-router"]["spec"]["ingress"]
    assert routers == {"ports": [{"port": 8080}, {"port": 9000}]}
    asking = [peer["podSelector"]["matchLabels"] for peer in serving["from"] if len(peer) > 1]
    components = [labels["app.kubernetes.io/component"] for labels in asking]
    assert components == ["monitor", "operator"]
    assert ("PodMonitor", "modelyard-system", "modelyard-monitor") in found
    operator = found["Deployment", "modelyard-system", "modelyard-operator"]["spec"]["template"][
        "spec"
    ]
    assert operator["tolerations"] == [{"operator": "Exists"}]
    assert operator["nodeSelector"] == {"disk": "fast"}
    assert operator["imagePullSecrets"] == [{"name": "mine"}]
