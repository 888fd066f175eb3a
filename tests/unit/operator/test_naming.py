import pytest

from modelyard_operator import naming
from modelyard_operator.api import resources
from modelyard_operator.api.base import MAX_NAME_LENGTH
from support import toy

LONGEST = "a" * MAX_NAME_LENGTH


@pytest.mark.parametrize(
    "name",
    [
        naming.run_name(LONGEST, "0a1b2c3d"),
        naming.version_name(LONGEST, 99_999),
        naming.revision_name(LONGEST, "0a1b2c3d"),
        naming.router_name(LONGEST),
        naming.routes_name(LONGEST),
    ],
)
def test_every_name_of_a_child_fits_a_label(name):
    assert len(name) <= 63


def test_a_child_names_its_owner_and_who_manages_it():
    owner = toy.Toy.model_validate(toy.a_toy())

    child = naming.child(owner, resources.JOB, "rain-1", component="training", labels={"a": "b"})

    assert (child["apiVersion"], child["kind"]) == ("batch/v1", "Job")
    metadata = child["metadata"]
    assert metadata["labels"] == {
        "app.kubernetes.io/managed-by": "modelyard",
        "app.kubernetes.io/component": "training",
        "a": "b",
    }
    assert metadata["ownerReferences"] == [
        {
            "apiVersion": "modelyard.dev/v1alpha1",
            "kind": "DriftMonitor",
            "name": "rain",
            "uid": "uid-toy",
            "controller": True,
            "blockOwnerDeletion": False,
        }
    ]


def test_labels_of_the_parent_never_reach_a_child():
    owner = toy.Toy.model_validate(toy.a_toy(metadata={"labels": {"argocd.argoproj.io/x": "y"}}))

    child = naming.child(owner, resources.JOB, "rain-1", component="training", labels={})

    assert "argocd.argoproj.io/x" not in child["metadata"]["labels"]
