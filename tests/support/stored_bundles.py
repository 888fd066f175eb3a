"""Bundles in the claim of a real cluster, and what follows them there."""

import base64

from modelyard_core import bundle
from support.bundles import Bundle
from support.kube import Kube, Obj

HARDENED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
POD = {
    "automountServiceAccountToken": False,
    "securityContext": {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "fsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    },
}
WRITER = """
import pathlib, sys
for place in sys.argv[1:]:
    folder = pathlib.Path("/modelyard/store", place)
    folder.mkdir(parents=True)
    for file in pathlib.Path("/in").iterdir():
        if file.is_file():
            (folder / file.name).write_bytes(file.read_bytes())
"""


def write(kube: Kube, image: str, made: Bundle, name: str, script: str, *uris: str) -> None:
    """Write a bundle to places of the claim."""
    files = {f.name: base64.b64encode(f.read_bytes()).decode() for f in made.folder.iterdir()}
    container = {
        "name": "writer",
        "image": image,
        "command": ["python", "-c", script, *(bundle.split_uri(uri)[1] for uri in uris)],
        "securityContext": HARDENED,
        "volumeMounts": [
            {"name": "in", "mountPath": "/in"},
            {"name": "store", "mountPath": "/modelyard/store"},
        ],
    }
    volumes = [
        {"name": "in", "configMap": {"name": name}},
        {"name": "store", "persistentVolumeClaim": {"claimName": "models"}},
    ]
    spec = POD | {"restartPolicy": "Never", "containers": [container], "volumes": volumes}
    head = {"apiVersion": "v1", "metadata": {"name": name}}
    kube.apply(
        head | {"kind": "ConfigMap", "binaryData": files}, head | {"kind": "Pod", "spec": spec}
    )
    kube.wait("the bundle is written", lambda: has_ended(kube.get("pod", name)))


def has_ended(pod: Obj) -> bool | None:
    phase = pod.get("status", {}).get("phase")
    assert phase != "Failed"
    return phase == "Succeeded" or None


def version(made: Bundle, training: str, number: int = 1) -> Obj:
    """Return a version of a training, as if it had made the bundle."""
    spec = {
        "training": training,
        "version": number,
        "digest": made.digest,
        "uri": made.uri,
        "runKey": made.digest,
        "run": f"{training}-{0:08x}",
        "trigger": "Spec",
        "verdict": "Blessed",
        "images": {"training": "training:1"},
    }
    return {
        "apiVersion": "modelyard.dev/v1alpha1",
        "kind": "ModelVersion",
        "metadata": {"name": f"{training}-v{number}"},
        "spec": spec,
    }


def deployment(training: str, rollout: Obj | None = None, **runtime: object) -> Obj:
    """Return a ModelDeployment that follows a training."""
    spec = {
        "model": {"training": training},
        "replicas": 1,
        "runtime": {"resources": {"requests": {"cpu": "50m", "memory": "128Mi"}}} | runtime,
        "rollout": rollout or {},
    }
    return {
        "apiVersion": "modelyard.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": training},
        "spec": spec,
    }
