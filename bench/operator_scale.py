"""How fast 200 custom resources are brought to rest, and what that costs in memory.

    python -m bench.operator_scale [count]

The API server is real (etcd and kube-apiserver of its own), the operator is the real process, and
nothing else of Kubernetes runs.  Prints one JSON document.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support import api_server, cel
from support.cel import drift_monitor, model_deployment, model_training, model_version
from support.operator_process import Operator, operator, until

OWN = "/apis/modelyard.dev/v1alpha1"
NAMESPACES = tuple(f"scale-{number}" for number in range(10))
TABLES = (model_training, model_version, model_deployment, drift_monitor)
DATA = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "weather"},
    "binaryData": {"days.csv.gz": "aGVsbG8="},
}


def main() -> None:
    """Measure."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    with (
        tempfile.TemporaryDirectory() as folder,
        api_server.running(Path(folder) / "api") as server,
    ):
        api_server.install_crds(server)
        server.namespace("modelyard-system")
        for namespace in NAMESPACES:
            server.namespace(namespace)
            server.call("POST", f"/api/v1/namespaces/{namespace}/configmaps", DATA)
        create(server, count)
        fresh = measure(server, Path(folder))
        again = measure(server, Path(folder))
    print(json.dumps({"customResources": count, "fresh": fresh, "restarted": again}, indent=2))


def create(server: api_server.ApiServer, count: int) -> None:
    """Create custom resources, as many of each kind, spread over the namespaces."""
    for number in range(count // len(TABLES)):
        for table in TABLES:
            training = f"rain-{number}"
            changes: dict[str, Any] = {"metadata.name": training}
            if table is model_version:
                changes = {"metadata.name": f"{training}-v1", "spec.training": training}
            elif table is model_deployment:
                changes["spec.model.training"] = training
            elif table is drift_monitor:
                changes |= {"spec.deployment": training, "spec.retrain.training": training}
            plural = f"{table.VALID['kind'].lower()}s"
            path = f"{OWN}/namespaces/{NAMESPACES[number % len(NAMESPACES)]}/{plural}"
            server.call("POST", path, cel.changed(table.VALID, changes))


def measure(server: api_server.ApiServer, folder: Path) -> dict[str, float]:
    """Start the operator and return its numbers once everything is at rest."""
    written = writes(server)
    started = time.monotonic()
    with operator(server.kubeconfig, folder) as replica:
        until("it leads", replica.leads, every=0.02)
        leads = time.monotonic() - started
        until("everything has been looked at", lambda: passes(replica) and settled(server))
        done = time.monotonic() - started
        calm = replica.renewals() + 3
        until("it is calm", lambda: replica.renewals() >= calm)
        return {
            "secondsToLead": round(leads, 2),
            "secondsToRest": round(done, 2),
            "mebibytes": round(resident(replica), 1),
            "mebibytesAtMost": round(resident(replica, "VmHWM"), 1),
            "cpuSeconds": replica.sample("process_cpu_seconds_total"),
            "writes": writes(server) - written,
            "passes": passes(replica),
        }


def passes(replica: Operator) -> float:
    """Return how many reconciles have ended."""
    lines = replica.metrics().splitlines()
    found = [line for line in lines if line.startswith("modelyard_reconcile_total{")]
    return sum(float(line.rpartition(" ")[2]) for line in found)


def settled(server: api_server.ApiServer) -> bool:
    """Return whether every object has been observed."""
    plurals = [f"{table.VALID['kind'].lower()}s" for table in TABLES]
    return all(
        item["status"]["observedGeneration"] == item["metadata"]["generation"]
        for plural in plurals
        for item in server.call("GET", f"{OWN}/{plural}")["items"]
    )


def writes(server: api_server.ApiServer) -> int:
    """Return how many writes the operator has made, its lease aside."""
    return sum(
        "modelyard" in entry.get("userAgent", "") and "/leases" not in entry["requestURI"]
        for entry in server.audit()
    )


def resident(replica: Operator, line: str = "VmRSS") -> float:
    """Return the memory of the process in MiB."""
    status = Path(f"/proc/{replica.process.pid}/status").read_text()
    return int(status.partition(f"{line}:")[2].split()[0]) / 1024


if __name__ == "__main__":
    main()
