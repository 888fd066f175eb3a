"""A client pod that sends requests at a steady rate, and what it has seen so far."""

import base64
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from support.kube import Kube
from support.stored_bundles import HARDENED

SUPPORT = Path(__file__).parent
HTTP_CLIENT, GRPC_CLIENT = SCRIPTS = "load_client.py", "grpc_load_client.py"
"""The second one takes from the first, so a pod has both."""
POD = "load"
RATE = 60
WORKERS = 6


@dataclass(frozen=True)
class Seen:
    """Answers and failures, by revision; what got no answer, by error."""

    good: dict[str, int]
    errors: dict[str, int]
    broken: dict[str, int]

    @property
    def requests(self) -> int:
        return sum(sum(kind.values()) for kind in (self.good, self.errors, self.broken))

    @property
    def failures(self) -> int:
        return sum(self.errors.values()) + sum(self.broken.values())

    def __sub__(self, before: "Seen") -> "Seen":
        kinds = ("good", "errors", "broken")
        return Seen(*(dict(Counter(getattr(self, k)) - Counter(getattr(before, k))) for k in kinds))


class Load:
    """One client pod."""

    script = HTTP_CLIENT

    def __init__(self, kube: Kube, deployment: str, features: Sequence[str]) -> None:
        self.kube, self.deployment = kube, deployment
        row = [
            {"name": name, "shape": [1, 1], "datatype": "FP32", "data": [0.5]} for name in features
        ]
        self.url = f"http://{deployment}/v2/models/{deployment}/infer"
        self.body = json.dumps({"inputs": row}).encode()

    def start(self) -> None:
        image = self.kube.list("pods", "app.kubernetes.io/component=serving")[0]["spec"][
            "containers"
        ][0]["image"]
        self.kube.apply(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": POD},
                "data": {name: (SUPPORT / name).read_text() for name in SCRIPTS},
                "binaryData": {"body": base64.b64encode(self.body).decode()},
            },
            _pod(image, f"exec python3 /in/{self.script} {self.url} {RATE} {WORKERS} < /in/body"),
        )
        self.kube.wait("the client's first answers", self._answered)

    def stop(self) -> None:
        self.kube.run("delete", "pod", POD, "--grace-period=0", "--force")

    def read(self) -> Seen:
        lines = self.kube.run("logs", POD, "--tail=1").splitlines()
        return Seen(**json.loads(lines[-1])) if lines else Seen({}, {}, {})

    def wait_for_more(self, requests: int) -> None:
        goal = self.read().requests + requests
        self.kube.wait("more requests", lambda: self.read().requests >= goal or None)

    def _answered(self) -> bool | None:
        pod = self.kube.get("pod", POD)
        is_running = pod.get("status", {}).get("phase") == "Running"
        return (is_running and sum(self.read().good.values()) > RATE) or None


class GrpcLoad(Load):
    """One client pod that makes calls over gRPC."""

    script = GRPC_CLIENT

    def __init__(self, kube: Kube, deployment: str, message: bytes) -> None:
        self.kube, self.deployment = kube, deployment
        self.url, self.body = f"{deployment}:9000", message


def _pod(image: str, command: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": POD},
        "spec": {
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "client",
                    "image": image,
                    "command": ["sh", "-c", command],
                    "env": [{"name": "PATH", "value": "/opt/modelyard/bin:/usr/bin:/bin"}],
                    "resources": {"requests": {"cpu": "50m", "memory": "32Mi"}},
                    "securityContext": HARDENED,
                    "volumeMounts": [{"name": "in", "mountPath": "/in"}],
                }
            ],
            "volumes": [{"name": "in", "configMap": {"name": POD}}],
        },
    }
