"""One story, told with the operator killed after chosen writes."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from support.api_proxy import Proxy
from support.api_server import ApiServer, Refused
from support.operator_process import Operator
from support.rest_of_cluster import RestOfCluster

Obj = dict[str, Any]
LIMIT_SECONDS = 600.0
OWN = "/apis/modelyard.dev/v1alpha1"


class Story(Protocol):
    """What a user does, one thing after the other, and when it has come to its end."""

    def begin(self, stage: "Stage") -> None:
        """Apply the first objects."""
        ...

    def goes_on(self, stage: "Stage") -> bool:
        """Do what is next; return whether there is more to come."""
        ...


@dataclass
class Outcome:
    """What a story left behind."""

    writes: list[str]
    deaths: int
    seconds: float
    objects: dict[str, list[str]]
    """Names by plural, without pods and events."""
    created: dict[str, int]
    """How often each object was created, from the audit."""
    states: dict[str, str] = field(default_factory=dict)


class Stage:
    """A namespace, an operator behind a proxy, and the rest of the cluster."""

    def __init__(self, server: ApiServer, folder: Path, name: str, block: int) -> None:
        self.server = server
        self.token = server.token
        """Who the operator is."""
        self.namespace = server.namespace(name)
        self._folder = folder
        self._rest = RestOfCluster(server, name, block)
        self._block = block

    def apply(self, obj: Obj) -> None:
        """Apply an object of a user's."""
        root = "/api/v1" if obj["apiVersion"] == "v1" else f"/apis/{obj['apiVersion']}"
        plural = f"{obj['kind'].lower()}s"
        path = f"{root}/namespaces/{self.namespace}/{plural}/{obj['metadata']['name']}"
        self.server.call("PATCH", f"{path}?fieldManager=user&force=true", obj, "apply")

    def get(self, plural: str, name: str) -> Obj:
        """Return one of our objects, empty where it does not exist."""
        try:
            return self.server.call("GET", f"{OWN}/namespaces/{self.namespace}/{plural}/{name}")
        except Refused:
            return {}

    def names(self, root: str, plural: str) -> list[str]:
        """Return the names of a kind."""
        found = self.server.call("GET", f"{root}/namespaces/{self.namespace}/{plural}")
        return sorted(item["metadata"]["name"] for item in found["items"])

    def play(self, story: Story, deadly: set[int]) -> Outcome:
        """Tell the story with an operator that dies after each deadly write."""
        started = time.monotonic()
        proxy = Proxy(self.server, lambda: operator.process.kill(), deadly)  # noqa: PLW0108 (restarts)
        operator = Operator(
            proxy.kubeconfig(self._folder, self.token),
            self._folder,
            f"operator-{self._block}",
            MODELYARD_NAMESPACE=self.namespace,
            MODELYARD_WATCH_NAMESPACES=self.namespace,
        )
        try:
            story.begin(self)
            while story.goes_on(self):
                late = time.monotonic() - started > LIMIT_SECONDS
                assert not late, f"the story does not end: {self._picture(proxy)}"
                self._rest.step()
                if operator.process.poll() is not None:
                    proxy.reconnect()
                    operator.start()
                time.sleep(0.1)
        finally:
            operator.kill()
            proxy.close()
            self._rest.close()
        return self._outcome(proxy, time.monotonic() - started)

    def _outcome(self, proxy: Proxy, seconds: float) -> Outcome:
        kinds = {
            "jobs": "/apis/batch/v1",
            "configmaps": "/api/v1",
            "services": "/api/v1",
            "deployments": "/apis/apps/v1",
            "modelversions": OWN,
        }
        created: dict[str, int] = {}
        for entry in self.server.audit():
            ref = entry.get("objectRef", {})
            made = entry["responseStatus"].get("code") == 201
            if ref.get("namespace") == self.namespace and made and ref["resource"] in kinds:
                name = f"{ref['resource']}/{ref.get('name', '?')}"
                created[name] = created.get(name, 0) + 1
        return Outcome(
            proxy.writes,
            proxy.deaths,
            seconds,
            {plural: self.names(root, plural) for plural, root in kinds.items()},
            created,
        )

    def _picture(self, proxy: Proxy) -> str:
        statuses = {
            f"{plural}/{name}": self.get(plural, name).get("status")
            for plural in ("modeltrainings", "modeldeployments")
            for name in self.names(OWN, plural)
        }
        return f"{statuses}\n{proxy.writes}"
