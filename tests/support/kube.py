"""A namespace of a real cluster for a test: kubectl behind a few verbs, every wait bounded."""

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
Obj = dict[str, Any]

COMMAND_LIMIT_SECONDS = 60
LOOK_SECONDS = 0.5


class Kube:
    """kubectl in one namespace."""

    def __init__(self, kubectl: str, kubeconfig: Path, namespace: str) -> None:
        self.base = [kubectl, "--kubeconfig", str(kubeconfig), "-n", namespace]
        self.namespace = namespace

    def run(self, *arguments: str, text: str | None = None) -> str:
        """Run kubectl and return what it prints.

        Raises:
            AssertionError: it failed; the message is what it said.
        """
        done = subprocess.run(
            [*self.base, *arguments],
            input=text,
            capture_output=True,
            text=True,
            timeout=COMMAND_LIMIT_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr.strip()}"
        return done.stdout

    def refused(self, *arguments: str, text: str | None = None) -> str:
        """Run kubectl, expect it to fail, and return what it said."""
        done = subprocess.run(
            [*self.base, *arguments],
            input=text,
            capture_output=True,
            text=True,
            timeout=COMMAND_LIMIT_SECONDS,
            check=False,
        )
        assert done.returncode != 0, f"kubectl {' '.join(arguments)} was expected to fail"
        return done.stderr

    def apply(self, *objects: Obj) -> None:
        """Apply objects, server-side."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        self.run("apply", "--server-side", "--force-conflicts", "-f", "-", text=text)

    def get(self, kind: str, name: str) -> Obj:
        """Return one object, empty where it does not exist."""
        out = self.run("get", kind, name, "--ignore-not-found", "-o", "json")
        found: Obj = json.loads(out) if out.strip() else {}
        return found

    def list(self, kind: str, labels: str = "") -> list[Obj]:
        """Return the objects with these labels (`a=b,c=d`)."""
        out = self.run("get", kind, "-o", "json", *(["-l", labels] if labels else []))
        items: list[Obj] = json.loads(out)["items"]
        return items

    def status(self, kind: str, name: str) -> Obj:
        """Return the status if it describes the newest spec, else an empty one."""
        obj = self.get(kind, name)
        status: Obj = obj.get("status") or {}
        current = status.get("observedGeneration") == obj.get("metadata", {}).get("generation")
        return status if current else {}

    def wait(self, what: str, happened: Callable[[], T | None], limit: float = 120) -> T:
        """Wait until something is there and return it.

        Raises:
            AssertionError: it did not happen; the message shows the namespace as it is.
        """
        deadline = time.monotonic() + limit
        while True:
            found = happened()
            if found is not None:
                return found
            assert time.monotonic() < deadline, f"{what}: not within {limit} s\n{self.picture()}"
            time.sleep(LOOK_SECONDS)

    def wait_status(
        self, kind: str, name: str, holds: Callable[[Obj], bool], limit: float = 120
    ) -> Obj:
        """Wait until an object's current status satisfies something, and return the status."""

        def look() -> Obj | None:
            status = self.status(kind, name)
            return status if status and holds(status) else None

        return self.wait(f"{kind}/{name}", look, limit)

    @contextmanager
    def port_forward(self, name: str, port: int) -> Iterator[int]:
        """Bring a port of an object, such as `svc/rain`, to a port of this machine."""
        command = [*self.base, "port-forward", name, f":{port}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
            try:
                assert running.stdout is not None
                said = running.stdout.readline()
                found = re.search(r"127\.0\.0\.1:(\d+)", said)
                assert found is not None, f"port-forward {name}: {said}"
                yield int(found[1])
            finally:
                running.terminate()

    def picture(self) -> str:
        """Return what a person would look at first."""
        kinds = "mtrain,mver,mdeploy,drift,jobs,pods"
        return self.run("get", kinds, "-o", "wide") + self.run(
            "get", "mtrain,mdeploy,drift", "-o",
            "jsonpath={range .items[*]}{.kind}/{.metadata.name}: {.status.summary}{'\\n'}{end}",
        )  # fmt: skip
