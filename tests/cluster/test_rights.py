"""The operator with exactly the rights that an installation gives it: none is missing, none is idle."""

from pathlib import Path

import pytest
import yaml

from support.crash import Stage
from support.stories import Rollout, Training, Watching

pytestmark = pytest.mark.cluster

RBAC = Path(__file__).parents[2] / "manifests" / "base" / "rbac.yaml"
ROOT = "/apis/rbac.authorization.k8s.io/v1"
RARELY_USED = {
    # Kept for what these stories do not do.
    ("batch", "jobs", "delete"),  # a run that is replaced, and runs beyond their retention
    ("", "configmaps", "delete"),
    ("batch", "jobs", "get"),  # after a crash: is the Job that is there already ours?
    ("", "configmaps", "create"),  # asked of an apply that creates
    ("", "services", "create"),
    ("apps", "deployments", "create"),
    ("policy", "poddisruptionbudgets", "create"),
}


@pytest.fixture(scope="module")
def rules():
    """The rules of the operator: its ClusterRole, and its Role for the lease."""
    documents = [d for d in yaml.safe_load_all(RBAC.read_text()) if d]
    roles = [d for d in documents if d["kind"] in ("ClusterRole", "Role")]
    return [
        rule for role in roles if "operator" in role["metadata"]["name"] for rule in role["rules"]
    ]


@pytest.fixture(scope="module")
def used(api_server_with_crds, rules, tmp_path_factory):
    """What the operator asked for while two stories were told: (group, resource, verb, code)."""
    server = api_server_with_crds
    head = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "operator"}}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "operator"}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "stranger"}
    server.call("POST", f"{ROOT}/clusterroles", head | {"kind": "ClusterRole", "rules": rules})
    binding = {"kind": "ClusterRoleBinding", "roleRef": role, "subjects": [subject]}
    server.call("POST", f"{ROOT}/clusterrolebindings", head | binding)
    for block, story in enumerate((Training, Rollout, Watching), 251):
        stage = Stage(server, tmp_path_factory.mktemp("rights"), f"rights-{block}", block)
        stage.token = server.stranger
        stage.play(story(), set())
    server.call("DELETE", f"{ROOT}/clusterrolebindings/operator")
    return {
        (ref.get("apiGroup", ""), path_of(ref), entry["verb"], entry["responseStatus"]["code"])
        for entry in server.audit()
        if entry["user"]["username"] == "stranger"
        and (ref := entry.get("objectRef"))
        and (ref.get("namespace") or "").startswith("rights-")
    }


def path_of(ref):
    return "/".join(filter(None, (ref["resource"], ref.get("subresource"))))


def test_no_right_is_missing(used):
    assert sorted(each[:3] for each in used if each[3] == 403) == []


def test_no_right_is_granted_in_vain(used, rules):
    granted = {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }

    assert granted - {each[:3] for each in used} - RARELY_USED == set()


def test_nothing_is_granted_that_could_become_another_identity(rules):
    resources = {resource for rule in rules for resource in rule["resources"]}
    verbs = {verb for rule in rules for verb in rule["verbs"]}

    assert "*" not in resources | verbs
    assert not resources & {"secrets", "serviceaccounts", "roles", "rolebindings", "nodes"}
    assert not resources & {"pods/exec", "namespaces", "customresourcedefinitions"}
