"""Names, labels and annotations of children: derived from their owner, never drawn."""

from collections.abc import Mapping

from modelyard_operator.api.base import CustomResource
from modelyard_operator.api.resources import Obj, Resource

FIELD_MANAGER = "modelyard"
LEASE_NAME = "modelyard-operator"

MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
MANAGED_BY = {MANAGED_BY_LABEL: "modelyard"}
"""The label of every child; the watches select by it."""
COMPONENT_LABEL = "app.kubernetes.io/component"
TRAINING_LABEL = "modelyard.dev/training"
DEPLOYMENT_LABEL = "modelyard.dev/deployment"
REVISION_LABEL = "modelyard.dev/revision"
RUN_LABEL = "modelyard.dev/run"

RETRAIN_ANNOTATION = "modelyard.dev/retrain"
ACTION_ANNOTATION = "modelyard.dev/action"
ROUTES_ANNOTATION = "modelyard.dev/routes"
APPLIED_ANNOTATION = "modelyard.dev/applied"
"""On children that are applied: the hash of what was applied last."""


def run_name(training: str, run_hash: str) -> str:
    """Return the name of a run, its Job and its ConfigMap; `run_hash` has 8 hex digits."""
    return f"{training}-{run_hash}"


def version_name(training: str, number: int) -> str:
    """Return the name of the ModelVersion with this number."""
    return f"{training}-v{number}"


def revision_name(deployment: str, revision_hash: str) -> str:
    """Return the name of a revision, its Deployment and its Service."""
    return f"{deployment}-{revision_hash}"


def router_name(deployment: str) -> str:
    """Return the name of the router's Deployment."""
    return f"{deployment}-router"


def routes_name(deployment: str) -> str:
    """Return the name of the ConfigMap that holds the routes."""
    return f"{deployment}-routes"


def child(
    owner: CustomResource,
    resource: Resource,
    name: str,
    *,
    component: str,
    labels: Mapping[str, str],
) -> Obj:
    """Return the head of a child: type, name, labels, and its owner as controller."""
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {
            "name": name,
            "namespace": owner.metadata.namespace,
            "labels": MANAGED_BY | {COMPONENT_LABEL: component} | dict(labels),
            "ownerReferences": [owner.owner_reference()],
        },
    }
