"""Plays the rest of Kubernetes in one namespace of an API server without controllers.

Each step looks at what there is and moves it on, as the Job and Deployment controllers, the
scheduler, the kubelet and the garbage collector would; training pods report a blessed version,
and router pods answer as agents whose clients never see a failure.
"""

import json
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from modelyard_core import codec
from modelyard_core.routes import (
    LATENCY_EDGES_MS,
    ROUTES_FILE,
    ClusterCounters,
    RouterCounters,
    RouterState,
    RouteTable,
)
from modelyard_core.runs import RunReport, Verdict
from modelyard_operator import naming
from modelyard_operator.adapters.router_http import AGENT_PORT
from support.api_server import ApiServer, Refused

Obj = dict[str, Any]
REQUESTS_PER_SECOND = 2000


def _now() -> str:
    return codec.format_time(datetime.now(UTC))


class RestOfCluster:
    """Everything but the operator, in one namespace.  `block` separates the pods' addresses."""

    def __init__(self, server: ApiServer, namespace: str, block: int) -> None:
        self._server = server
        self._namespace = namespace
        self._block = block
        self._addresses = 0
        self._agents: dict[str, _Agent] = {}

    def close(self) -> None:
        for agent in self._agents.values():
            agent.close()

    def step(self) -> None:
        """Move everything on once."""
        pods = self._list("/api/v1", "pods")
        jobs = self._list("/apis/batch/v1", "jobs")
        deployments = self._list("/apis/apps/v1", "deployments")
        owners = {obj["metadata"]["uid"] for obj in (*jobs, *deployments)}
        for pod in pods:
            if pod["metadata"]["ownerReferences"][0]["uid"] not in owners:
                self._remove(pod)
        for job in jobs:
            self._finish(job, [p for p in pods if _belongs(p, job)])
        for deployment in deployments:
            self._scale(deployment, [p for p in pods if _belongs(p, deployment)])
        self._tell_agents(pods)

    # ---- Jobs

    def _finish(self, job: Obj, pods: list[Obj]) -> None:
        name = job["metadata"]["name"]
        if not pods:
            self._create_pod(f"{name}-0", job)
            return
        if not pods[0].get("status", {}).get("containerStatuses"):
            ended = {"exitCode": 0, "reason": "Completed", "message": self._report(name)}
            container = {
                "name": "trainer",
                "image": "x",
                "imageID": "x",
                "ready": False,
                "restartCount": 0,
                "state": {"terminated": ended | {"startedAt": _now(), "finishedAt": _now()}},
            }
            self._status(pods[0], {"phase": "Succeeded", "containerStatuses": [container]})
            return
        if not job["status"].get("succeeded"):
            held = {"status": "True", "lastTransitionTime": _now(), "lastProbeTime": _now()}
            status = {
                "startTime": job["metadata"]["creationTimestamp"],
                "completionTime": _now(),
                "succeeded": 1,
                "ready": 0,
                "uncountedTerminatedPods": {},
                "conditions": [
                    held | {"type": "SuccessCriteriaMet"},
                    held | {"type": "Complete"},
                ],
            }
            self._status(job, status)

    def _report(self, run: str) -> str:
        config = self._server.call("GET", self._path("/api/v1", "configmaps", run))
        key = json.loads(config["data"]["run.json"])["runKey"]
        digest = "sha256:" + key.removeprefix("sha256:")[::-1]
        uri = f"pvc://models/{run.rpartition('-')[0]}/versions/{digest.replace(':', '-')}"
        report = RunReport(
            run, key, Verdict.BLESSED, digest, uri, data_digest=key, metrics={"roc_auc": 0.9}
        )
        return json.dumps(codec.encode(report))

    # ---- Deployments

    def _scale(self, deployment: Obj, pods: list[Obj]) -> None:
        wanted = deployment["spec"].get("replicas", 1)
        for _ in range(wanted - len(pods)):
            self._addresses += 1
            pod = self._create_pod(
                f"{deployment['metadata']['name']}-{self._addresses}", deployment
            )
            condition = {"type": "Ready", "status": "True", "lastTransitionTime": _now()}
            address = f"127.77.{self._block}.{self._addresses}"
            status = {"phase": "Running", "podIP": address, "conditions": [condition]}
            self._status(pod, status)
        for pod in pods[wanted:]:
            self._remove(pod)
        status = {
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": wanted,
            "readyReplicas": wanted,
            "availableReplicas": wanted,
            "updatedReplicas": wanted,
        }
        if deployment.get("status", {}).items() < status.items() or (
            deployment["status"] | status != deployment["status"]
        ):
            self._status(deployment, status)

    # ---- router pods

    def _tell_agents(self, pods: list[Obj]) -> None:
        routers = {
            pod["status"]["podIP"]: pod
            for pod in pods
            if pod["metadata"]["labels"].get(naming.COMPONENT_LABEL) == "router"
            and pod.get("status", {}).get("podIP")
        }
        for address in self._agents.keys() - routers.keys():
            self._agents.pop(address).close()
        for address, pod in routers.items():
            agent = self._agents.setdefault(address, None) or _Agent(address)
            self._agents[address] = agent
            if naming.ROUTES_ANNOTATION in (pod["metadata"].get("annotations") or {}):
                agent.read(self._routes(pod["metadata"]["labels"][naming.DEPLOYMENT_LABEL]))

    def _routes(self, deployment: str) -> RouteTable:
        name = naming.routes_name(deployment)
        config = self._server.call("GET", self._path("/api/v1", "configmaps", name))
        return codec.loads(RouteTable, config["data"][ROUTES_FILE])

    # ---- the API server

    def _create_pod(self, name: str, owner: Obj) -> Obj:
        template = owner["spec"]["template"]
        metadata = {
            "name": name,
            "labels": template["metadata"]["labels"],
            "annotations": template["metadata"].get("annotations", {}),
            "ownerReferences": [
                {
                    "apiVersion": owner["apiVersion"],
                    "kind": owner["kind"],
                    "name": owner["metadata"]["name"],
                    "uid": owner["metadata"]["uid"],
                    "controller": True,
                }
            ],
        }
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
            "spec": template["spec"] | {"nodeName": "nowhere"},
        }
        try:
            return self._server.call("POST", self._path("/api/v1", "pods"), pod)
        except Refused as error:
            if error.code != 409:
                raise
            return self._server.call("GET", self._path("/api/v1", "pods", name))

    def _remove(self, pod: Obj) -> None:
        path = self._path("/api/v1", "pods", pod["metadata"]["name"])
        try:
            self._server.call("DELETE", path, {"gracePeriodSeconds": 0})
        except Refused as error:
            if error.code != 404:
                raise

    def _status(self, obj: Obj, status: Obj) -> None:
        plural = f"{obj['kind'].lower()}s"
        root = "/api/v1" if obj["apiVersion"] == "v1" else f"/apis/{obj['apiVersion']}"
        path = self._path(root, plural, obj["metadata"]["name"])
        self._server.call("PATCH", f"{path}/status", {"status": status}, "merge")

    def _list(self, root: str, plural: str) -> list[Obj]:
        answer = self._server.call("GET", self._path(root, plural))
        head = {"apiVersion": answer["apiVersion"], "kind": answer["kind"].removesuffix("List")}
        return [head | item for item in answer["items"]]

    def _path(self, root: str, plural: str, name: str = "") -> str:
        return f"{root}/namespaces/{self._namespace}/{plural}" + (f"/{name}" if name else "")


def _belongs(pod: Obj, owner: Obj) -> bool:
    return pod["metadata"]["ownerReferences"][0]["uid"] == owner["metadata"]["uid"]


class _Agent(ThreadingHTTPServer):
    """The agent of one router pod: applies what it reads, counts good requests only."""

    daemon_threads = True

    def __init__(self, address: str) -> None:
        super().__init__((address, AGENT_PORT), _AgentHandler)
        self._boot = f"{address}-{time.monotonic_ns()}"
        self._table: RouteTable | None = None
        self._totals: dict[str, float] = {}
        self._at = time.monotonic()
        self._lock = threading.Lock()
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.shutdown()
        self.server_close()

    def read(self, table: RouteTable) -> None:
        """Apply a table."""
        with self._lock:
            self._count()
            self._table = table

    def answer(self, path: str) -> Any:
        """Return what the agent says."""
        with self._lock:
            self._count()
            if path == "/v1/routes":
                version = self._table.version if self._table else None
                return RouterState(desired=version, applied=version)
            clusters = {name: _good(int(total)) for name, total in self._totals.items()}
            return RouterCounters(self._boot, datetime.now(UTC), clusters)

    def _count(self) -> None:
        now = time.monotonic()
        requests, self._at = (now - self._at) * REQUESTS_PER_SECOND, now
        if self._table is None:
            return
        for arm in filter(None, (self._table.stable, self._table.canary)):
            share = requests * arm.weight / 1000
            self._totals[arm.revision] = self._totals.get(arm.revision, 0.0) + share
        if (mirror := self._table.mirror) is not None:
            name = f"mirror-{mirror.revision}"
            share = requests * mirror.percent / 100
            self._totals[name] = self._totals.get(name, 0.0) + share


def _good(total: int) -> ClusterCounters:
    buckets = tuple((edge, total if edge >= 5 else 0) for edge in LATENCY_EDGES_MS)
    return ClusterCounters(total=total, completed=total, success=total, buckets=buckets)


class _AgentHandler(BaseHTTPRequestHandler):
    server: _Agent

    def do_GET(self) -> None:
        body = json.dumps(codec.encode(self.server.answer(self.path))).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass
