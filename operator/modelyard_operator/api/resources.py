"""Every kind of Kubernetes object that the operator reads or writes, by name."""

from dataclasses import dataclass
from typing import Any

Obj = dict[str, Any]
"""A Kubernetes object as JSON."""

GROUP = "modelyard.dev"
VERSION = "v1alpha1"


@dataclass(frozen=True, slots=True)
class Resource:
    """Where one kind is found in the Kubernetes API."""

    group: str
    version: str
    plural: str
    kind: str

    @property
    def api_version(self) -> str:
        """The value of `apiVersion` in its objects."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        """Return the path of the collection, or of one object."""
        root = f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if namespace else ""
        tail = f"/{name}" if name else ""
        return f"{root}{scope}/{self.plural}{tail}"


MODEL_TRAINING = Resource(GROUP, VERSION, "modeltrainings", "ModelTraining")
MODEL_VERSION = Resource(GROUP, VERSION, "modelversions", "ModelVersion")
MODEL_DEPLOYMENT = Resource(GROUP, VERSION, "modeldeployments", "ModelDeployment")
DRIFT_MONITOR = Resource(GROUP, VERSION, "driftmonitors", "DriftMonitor")
OWN = (MODEL_TRAINING, MODEL_VERSION, MODEL_DEPLOYMENT, DRIFT_MONITOR)

CONFIG_MAP = Resource("", "v1", "configmaps", "ConfigMap")
DEPLOYMENT = Resource("apps", "v1", "deployments", "Deployment")
EVENT = Resource("events.k8s.io", "v1", "events", "Event")
JOB = Resource("batch", "v1", "jobs", "Job")
LEASE = Resource("coordination.k8s.io", "v1", "leases", "Lease")
POD = Resource("", "v1", "pods", "Pod")
POD_DISRUPTION_BUDGET = Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
SERVICE = Resource("", "v1", "services", "Service")

_BY_TYPE = {
    (r.api_version, r.kind): r
    for r in (*OWN, CONFIG_MAP, DEPLOYMENT, EVENT, JOB, LEASE, POD, POD_DISRUPTION_BUDGET, SERVICE)
}


def of(obj: Obj) -> Resource:
    """Return the resource that an object belongs to, by its `apiVersion` and `kind`."""
    return _BY_TYPE[obj["apiVersion"], obj["kind"]]
