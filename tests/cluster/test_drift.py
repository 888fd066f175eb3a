"""Drift on a real cluster: every row counted once through restarts, one request, one promotion."""

import base64
import csv
import gzip
import io
import json
import random
from pathlib import Path

import pytest

from support.kube import Kube, Obj

pytestmark = pytest.mark.cluster

NAME = "ice"
FEATURES = ("a", "b")
BATCH, RATE = 10, 25
SYSTEM = "modelyard-system"
REPLAY = Path(__file__).parents[2] / "examples/weather/replay.py"


def table(shift: float, seed: int) -> str:
    """Return CSV rows whose label follows from two numbers; the first one may have moved."""
    dice = random.Random(seed)
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["id", *FEATURES, "label"])
    for number in range(2_000):
        a, b = dice.gauss(shift, 1), dice.gauss(0, 1)
        rows.writerow([number, round(a, 4), round(b, 4), int(a - shift + b > 0)])
    return text.getvalue()


def training_data(rows: str) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "rows"},
        "binaryData": {"rows.csv.gz": base64.b64encode(gzip.compress(rows.encode())).decode()},
    }


def training() -> Obj:
    return {
        "apiVersion": "modelyard.dev/v1alpha1",
        "kind": "ModelTraining",
        "metadata": {"name": NAME},
        "spec": {
            "task": "Classification",
            "target": "label",
            "data": {
                "train": {"configMap": {"name": "rows", "path": "rows.csv.gz"}},
                "split": {"strategy": "Hash", "testFraction": "0.3", "keyColumn": "id"},
            },
            "features": [{"name": name, "type": "Float"} for name in FEATURES],
            "pipeline": {"estimator": "Logistic"},
            "gates": {"metrics": [{"name": "roc_auc", "min": "0.7"}]},
            "triggers": {"cooldown": "1s"},
        },
    }


def deployment() -> Obj:
    small = {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}
    return {
        "apiVersion": "modelyard.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": NAME},
        "spec": {
            "model": {"training": NAME},
            "replicas": 2,
            "runtime": {"resources": small},
            "rollout": {
                "traffic": {"replicas": 1},
                "steps": [{"weight": 50}],
                "analysis": {
                    "minRequests": 50,
                    "checks": [{"type": "Errors", "tolerance": "0.05"}],
                },
                "drain": "5s",
            },
        },
    }


def monitor() -> Obj:
    return {
        "apiVersion": "modelyard.dev/v1alpha1",
        "kind": "DriftMonitor",
        "metadata": {"name": NAME},
        "spec": {
            "deployment": NAME,
            "windows": ["1m"],
            "minRows": 200,
            "retrain": {
                "training": NAME,
                "confirm": {"windows": 1, "of": 2},
                "cooldown": "10m",
            },
        },
    }


class Client:
    """A pod that sends a table's rows for a while."""

    def __init__(self, kube: Kube, name: str, rows: str, seconds: int) -> None:
        self.kube, self.name = kube, f"client-{name}"
        serving = kube.list("pods", "app.kubernetes.io/component=serving")[0]
        image = serving["spec"]["containers"][0]["image"]
        files = {"replay.py": REPLAY.read_text(), "rows.csv": rows}
        head = {"apiVersion": "v1", "metadata": {"name": self.name}}
        command = [
            "/opt/modelyard/bin/python",
            "/in/replay.py",
            f"http://{NAME}/v2/models/{NAME}/infer",
            "/in/rows.csv",
            "--label=label",
            "--skip=id",
            f"--batch={BATCH}",
            f"--rate={RATE}",
            f"--seconds={seconds}",
        ]
        hardened = {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        container = {
            "name": "client",
            "image": image,
            "command": command,
            "resources": {"requests": {"cpu": "50m", "memory": "32Mi"}},
            "securityContext": hardened,
            "volumeMounts": [{"name": "in", "mountPath": "/in"}],
        }
        spec = {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [{"name": "in", "configMap": {"name": self.name}}],
        }
        kube.apply(
            head | {"kind": "ConfigMap", "data": files}, head | {"kind": "Pod", "spec": spec}
        )

    def tally(self) -> Obj:
        lines = self.kube.run("logs", self.name, "--tail=1").splitlines()
        return json.loads(lines[-1]) if lines else {"requests": 0}

    def wait_for(self, requests: int) -> None:
        self.kube.wait("the client's pod", self._is_running)
        enough = "requests of the client"
        self.kube.wait(enough, lambda: self.tally()["requests"] >= requests or None)

    def finish(self) -> Obj:
        """Wait until the client has ended and return what it saw."""
        self.kube.wait("the client's end", lambda: self._phase() == "Succeeded" or None, 300)
        return self.tally()

    def _phase(self) -> str:
        return self.kube.get("pod", self.name)["status"]["phase"]

    def _is_running(self) -> bool | None:
        return self._phase() in ("Running", "Succeeded") or None


def report(kube: Kube) -> Obj:
    """Return the monitor's own report, past the operator; empty while it does not answer."""
    service = f"/api/v1/namespaces/{SYSTEM}/services/modelyard-monitor:8080/proxy"
    try:
        return json.loads(kube.run("get", "--raw", f"{service}/v1/watches/{kube.namespace}/{NAME}"))
    except AssertionError:
        return {}


def kill_monitor(kube: Kube) -> None:
    """End the monitor without any notice."""
    kube.run("-n", SYSTEM, "delete", "pod", "modelyard-monitor-0", "--grace-period=0", "--force")


@pytest.fixture(scope="module")
def watched(kube: Kube) -> Kube:
    kube.apply(training_data(table(0.0, 1)), training())
    kube.wait_status("mtrain", NAME, lambda status: status.get("champion"), 240)
    kube.apply(deployment(), monitor())
    kube.wait_status("mdeploy", NAME, lambda status: status.get("phase") == "Idle", 240)
    kube.wait_status("drift", NAME, lambda status: status.get("reference"), 60)
    is_reading(kube, 2)
    return kube


def counted(kube: Kube) -> int:
    return report(kube).get("rowsTotal", 0)


def is_reading(kube: Kube, pods: int) -> None:
    kube.wait("the monitor reads the pods", lambda: report(kube).get("pods") == pods or None)


def test_a_killed_monitor_counts_every_row_once(watched: Kube):
    before = counted(watched)
    client = Client(watched, "calm", table(0.0, 2), seconds=70)
    client.wait_for(300)
    kill_monitor(watched)

    seen = client.finish()

    assert (seen["failed"], seen["bad"]) == (0, 0)
    expected = before + BATCH * sum(seen["answers"].values())
    watched.wait("all rows", lambda: counted(watched) >= expected or None, 60)
    assert counted(watched) == expected
    status = watched.wait_status("drift", NAME, lambda s: s.get("phase") == "Stable", 120)
    assert "episode" not in status
    assert status["budget"] == "0 of 0.5 in 30d"


def test_a_pod_that_ends_loses_at_most_what_it_answered_after_it_was_read_last(watched: Kube):
    is_reading(watched, 2)
    before = counted(watched)
    client = Client(watched, "leaving", table(0.0, 4), seconds=60)
    client.wait_for(300)
    pods = watched.list("pods", "app.kubernetes.io/component=serving")
    watched.run("delete", "pod", pods[0]["metadata"]["name"], "--wait=false")

    seen = client.finish()

    assert (seen["failed"], seen["bad"]) == (0, 0)
    expected = before + BATCH * sum(seen["answers"].values())
    between_two_scrapes = BATCH * RATE * 5
    least = expected - between_two_scrapes
    watched.wait("the rows", lambda: counted(watched) >= least or None, 60)
    assert counted(watched) <= expected


def test_drift_is_found_asks_once_and_ends_with_a_better_model(watched: Kube):
    rows = table(2.0, 3)
    watched.apply(training_data(rows))
    client = Client(watched, "drifted", rows, seconds=240)
    client.wait_for(100)
    kill_monitor(watched)

    found = watched.wait_status("drift", NAME, lambda s: s.get("retrainRequest"), 180)
    kill_monitor(watched)
    ended = watched.wait_status("drift", NAME, lambda s: s.get("lastRetrain"), 240)

    assert found["retrainRequest"]["id"] == f"{NAME}-1"
    assert found["drifting"].split(",")[0] == "a"
    assert found["windows"][0]["findings"][0]["name"] == "a"
    last = ended["lastRetrain"]
    assert (last["id"], last["outcome"], last["version"]) == (f"{NAME}-1", "Promoted", 2)
    assert ended["phase"] == "Cooldown"
    requests = watched.status("mtrain", NAME)["requests"]
    drift = [request for request in requests if request["source"] == "Drift"]
    assert [(r["token"], r["outcome"], r["version"]) for r in drift] == [
        (f"{NAME}-1", "Succeeded", 2)
    ]
    calm = watched.wait_status("drift", NAME, _is_calm_again, 150)
    assert calm["reference"]["version"] == 2
    assert calm["episode"]["state"] == "Stable"
    assert len(watched.list("mver")) == 2
    assert client.finish()["bad"] == 0


def _is_calm_again(status: Obj) -> bool:
    windows = status["windows"]
    return bool(windows) and windows[0]["state"] == "Calm"
