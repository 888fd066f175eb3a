"""The real operator as a process, against an API server of the test's choice."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support import ending
from support.ports import free_port

LIMIT_SECONDS = 120.0
LEADER = "modelyard_leader 1.0"


class Operator:
    """One replica."""

    def __init__(self, kubeconfig: Path, folder: Path, name: str, **environment: str) -> None:
        self.name = name
        self.health, self.metrics_port = free_port(), free_port()
        self.log = folder / f"{name}.log"
        self._environment = {
            **os.environ,
            "KUBECONFIG": str(kubeconfig),
            "MODELYARD_NAMESPACE": "modelyard-system",
            "MODELYARD_POD_NAME": name,
            "MODELYARD_TRAINING_IMAGE": "modelyard.dev/training:test",
            "MODELYARD_SERVING_IMAGE": "modelyard.dev/serving:test",
            "MODELYARD_ROUTER_IMAGE": "modelyard.dev/router:test",
            "MODELYARD_MONITOR_URL": f"http://127.0.0.1:{free_port()}",
            "MODELYARD_HEALTH_PORT": str(self.health),
            "MODELYARD_METRICS_PORT": str(self.metrics_port),
            **environment,
        }
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        """Start the process (again)."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                ending.with_us([sys.executable, "-m", "modelyard_operator"]),
                env=self._environment,
                stdout=log,
                stderr=log,
            )
        return self.process

    def metrics(self) -> str:
        """Return the metrics, empty while nobody answers."""
        return self._ask(self.metrics_port, "/metrics")

    def is_ready(self) -> bool:
        return self._ask(self.health, "/readyz") == "ok"

    def is_alive(self) -> bool:
        return self._ask(self.health, "/healthz") == "ok"

    def leads(self) -> bool:
        return LEADER in self.metrics()

    def sample(self, line: str) -> float:
        """Return the value of the sample that starts with `line`; 0 where there is none."""
        found = [x for x in self.metrics().splitlines() if x.startswith(f"{line} ")]
        return float(found[0].rpartition(" ")[2]) if found else 0.0

    def renewals(self) -> float:
        """Return how many times the lease has been written."""
        return self.sample('rest_client_requests_total{code="200",method="PUT"}')

    def freeze(self) -> None:
        """Stop its clockwork, as a machine that swaps or a paused virtual machine would."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def terminate(self) -> int:
        """End it as the kubelet would, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def _ask(self, port: int, path: str) -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return answer.read().decode()
        except OSError:
            return ""


@contextmanager
def operator(
    kubeconfig: Path, folder: Path, name: str = "one", **environment: str
) -> Iterator[Operator]:
    """Run a replica until the end of the block."""
    replica = Operator(kubeconfig, folder, name, **environment)
    try:
        yield replica
    finally:
        replica.kill()


def until(what: str, happened, limit: float = LIMIT_SECONDS, every: float = 0.1):
    """Wait for something and return it."""
    deadline = time.monotonic() + limit
    while not (found := happened()):
        assert time.monotonic() < deadline, f"{what}: not within {limit} s"
        time.sleep(every)
    return found
