"""A cluster in memory around one ModelTraining: the test plays Job controller, kubelet and person."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from modelyard_core import codec
from modelyard_core.canonical import digest_bytes, digest_value
from modelyard_core.runs import GateOutcome, GateResult, RunError, RunReport, Verdict
from modelyard_operator.api import resources
from modelyard_operator.kind import Key
from modelyard_operator.model_training import controller as training_controller
from modelyard_operator.model_version import controller as version_controller
from modelyard_operator.ports import ApiError, Images, Ports
from modelyard_operator.reconcile import Outcome, Shell
from modelyard_operator.recorder import Recorder
from support.fake_cluster import FakeCluster

Obj = dict[str, Any]

NAMESPACE = "shop"
NAME = "rain"
KEY = Key("ModelTraining", NAMESPACE, NAME)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
IMAGES = Images(training="modelyard.dev/training:1", serving="serving:1", router="router:1")
KINDS = {
    kind.model.RESOURCE.kind: kind for kind in (training_controller.KIND, version_controller.KIND)
}
PASSES = 30


class Killed(Exception):
    """The operator was killed between two writes."""


@dataclass
class Clock:
    time: datetime = NOON

    def now(self) -> datetime:
        return self.time


class Memory(FakeCluster):
    """The API in memory, with creation times, and a limit after which the caller is killed."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.writes_left: int | None = None
        super().__init__()

    def put(self, obj: Obj) -> Obj:
        obj["metadata"].setdefault("creationTimestamp", codec.format_time(self.clock.now()))
        return super().put(obj)

    def _write(self, verb: str, obj: Obj) -> None:
        if self.writes_left is not None:
            if self.writes_left == 0:
                raise Killed
            self.writes_left -= 1
        super()._write(verb, obj)


def a_spec(**changes: Any) -> Obj:
    """Return a spec that is valid and complete; `changes` replace whole sections."""
    return {
        "task": "Classification",
        "target": "rain",
        "data": {"train": {"configMap": {"name": "weather", "path": "train.csv"}}},
        "features": [{"name": "dew", "type": "Float"}, {"name": "station", "type": "Category"}],
        "pipeline": {"estimator": "HistGradientBoosting", "params": {"max_iter": "50"}},
        "gates": {"metrics": [{"name": "roc_auc", "min": "0.7"}]},
    } | changes


PVC_DATA = {"train": {"pvc": {"claimName": "weather", "path": "train.parquet"}}}


class World:
    """One ModelTraining, what surrounds it, and the operator that looks after it."""

    def __init__(self, **changes: Any) -> None:
        self.clock = Clock()
        self.api = Memory(self.clock)
        self.trained = 0
        """How often a Job has really trained."""
        self.bundles: dict[str, RunReport] = {}
        self.api.put(
            {
                "apiVersion": "modelyard.dev/v1alpha1",
                "kind": "ModelTraining",
                "metadata": {"name": NAME, "namespace": NAMESPACE, "uid": "t", "generation": 1},
                "spec": a_spec(**changes),
                "status": {"observedGeneration": -1},
            }
        )
        self.write_data("rain,dew\n1,2\n")

    # -- what a person does --

    def write_data(self, text: str) -> None:
        self._put("ConfigMap", "weather", data={"train.csv": text})

    def delete_data(self) -> None:
        self.api.objects.pop(("ConfigMap", NAMESPACE, "weather"), None)

    def edit(self, **changes: Any) -> None:
        obj = self.training
        obj["spec"] = obj["spec"] | changes
        obj["metadata"]["generation"] += 1
        self.api.put(obj)

    def annotate(self, text: str) -> None:
        obj = self.training
        obj["metadata"]["annotations"] = {"modelyard.dev/retrain": text}
        self.api.put(obj)

    def advance(self, duration: timedelta) -> None:
        self.clock.time += duration

    # -- what others report --

    def drift(self, id_: str, served: str = "", monitor: str = "rain") -> None:
        request = {"id": id_, "requestedAt": codec.format_time(self.clock.time)}
        request |= {"servedDigest": served} if served else {}
        self._put(
            "DriftMonitor",
            monitor,
            spec={"deployment": NAME, "retrain": {"training": NAME}},
            status={"retrainRequest": request},
        )

    def serve(self, version: Obj | None) -> None:
        stable = {"digest": version["spec"]["digest"]} if version else {}
        self._put(
            "ModelDeployment",
            NAME,
            spec={"model": {"training": NAME}},
            status={"stable": stable} if stable else {},
        )

    # -- what the cluster does --

    def start_pod(self, **state: Any) -> Obj:
        """Give the running Job a pod; by default one whose container runs."""
        job = self.job
        number = sum(kind == "Pod" for kind, _, _ in self.api.objects) + 1
        return self.api.put(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": f"{job['metadata']['name']}-{number}",
                    "namespace": NAMESPACE,
                    "labels": job["spec"]["template"]["metadata"]["labels"],
                    "ownerReferences": [{"controller": True, "uid": job["metadata"]["uid"]}],
                },
                "status": {
                    "containerStatuses": [{"name": "trainer", "state": {"running": {}}}],
                }
                | state,
            }
        )

    def end_pod(self, code: int, message: str = "", reason: str = "Error", **status: Any) -> None:
        """End the Job's pod, and with it the Job."""
        terminated = {"exitCode": code, "reason": reason, "message": message}
        self.start_pod(
            containerStatuses=[{"name": "trainer", "state": {"terminated": terminated}}], **status
        )

    def end_job(self, failure: str = "", message: str = "", failed: int = 0) -> None:
        job = self.job
        condition = {"type": "Failed" if failure else "Complete", "status": "True"}
        condition |= {"reason": failure, "message": message} if failure else {}
        job["status"] = {"conditions": [condition], "failed": failed}
        self.api.put(job)

    def fail(self, code: int, error: RunError | None = None) -> None:
        run = self.request
        report = RunReport(run["run"], run["runKey"], error=error)
        self.end_pod(code, codec.dumps(report) if error else "")
        text = f"Container trainer for pod shop/x failed with exit code {code} matching FailJob"
        self.end_job("PodFailurePolicy", text, failed=1)

    def succeed(
        self, verdict: Verdict = Verdict.BLESSED, auc: float = 0.8, sentence: str = ""
    ) -> None:
        """Train, or find the bundle of this run or of the same content, and report it."""
        request = self.request
        content = digest_value(
            {key: request[key] for key in ("features", "pipeline", "split", "image", "target")}
            | {"data": self.api.objects.get(("ConfigMap", NAMESPACE, "weather"), {}).get("data")}
        )
        report = self.bundles.get(request["runKey"]) or self.bundles.get(content)
        if report is None:
            self.trained += 1
            digest = digest_bytes(f"manifest {self.trained}".encode())
            outcome = GateOutcome.PASSED if verdict is Verdict.BLESSED else GateOutcome.FAILED
            report = RunReport(
                run=request["run"],
                run_key=request["runKey"],
                verdict=verdict,
                digest=digest,
                uri=f"pvc://models/rain/versions/{digest.replace(':', '-')}",
                data_digest=digest_bytes(b"data"),
                metrics={"roc_auc": auc, "accuracy": 0.75},
                gates=(GateResult("roc_auc", "Absolute", outcome, auc, 0.7, sentence=sentence),),
            )
            self.bundles[request["runKey"]] = self.bundles[content] = report
        told = codec.encode(report) | {"runKey": request["runKey"], "run": request["run"]}
        self.end_pod(0, codec.dumps(told), "Completed")
        self.end_job()

    def lose_pods(self) -> None:
        for key in [key for key in self.api.objects if key[0] == "Pod"]:
            del self.api.objects[key]

    def lose_job(self) -> None:
        name = self.job["metadata"]["name"]
        del self.api.objects["Job", NAMESPACE, name]
        self.lose_pods()

    # -- the operator --

    def operator(self) -> Shell:
        """Return a fresh operator: nothing is remembered between two of them."""
        ports = Ports(self.api, None, None, None, self.clock, IMAGES)
        return Shell(KINDS, ports, self.api, Recorder(self.api, self.clock, "test"))

    async def reconcile(self) -> Outcome:
        return await self.operator().reconcile(KEY)

    async def settle(self) -> timedelta | None:
        """Let the operator work until it waits for something; return for how long it would."""
        shell = self.operator()
        for _ in range(PASSES):
            before = len(self.changes)
            try:
                outcome = await shell.reconcile(KEY)
                for version in self.versions:
                    key = Key("ModelVersion", NAMESPACE, version["metadata"]["name"])
                    await shell.reconcile(key)
            except ApiError:
                continue
            if len(self.changes) == before and outcome.requeue_after != timedelta(0):
                return outcome.requeue_after
        raise AssertionError(f"does not come to rest: {self.api.writes[-20:]}")

    @property
    def changes(self) -> list[tuple[str, str, str]]:
        return [write for write in self.api.writes if write[1] != "Event"]

    # -- what can be seen --

    @property
    def training(self) -> Obj:
        return self.api.objects["ModelTraining", NAMESPACE, NAME]

    @property
    def status(self) -> Obj:
        return self.training["status"]

    @property
    def jobs(self) -> list[Obj]:
        return [obj for (kind, _, _), obj in self.api.objects.items() if kind == "Job"]

    @property
    def job(self) -> Obj:
        """The Job of the run in flight."""
        return self.api.objects["Job", NAMESPACE, self.status["run"]["name"]]

    @property
    def request(self) -> Obj:
        """What the Job in flight is asked to do."""
        name = self.status["run"]["name"]
        config = self.api.objects["ConfigMap", NAMESPACE, name]
        return dict(json.loads(config["data"]["run.json"]))

    @property
    def versions(self) -> list[Obj]:
        found = [obj for (kind, _, _), obj in self.api.objects.items() if kind == "ModelVersion"]
        return sorted(found, key=lambda obj: obj["spec"]["version"])

    @property
    def requests(self) -> list[tuple[str, str, str]]:
        """Source, outcome and reason of every wish."""
        return [(r["source"], r["outcome"], r["reason"]) for r in self.status["requests"]]

    def condition(self, type_: str) -> Obj:
        return next(c for c in self.status["conditions"] if c["type"] == type_)

    def events(self) -> list[str]:
        return [obj["reason"] for (kind, _, _), obj in self.api.objects.items() if kind == "Event"]

    def _put(self, kind: str, name: str, **content: Any) -> None:
        resource = next(r for r in (*resources.OWN, resources.CONFIG_MAP) if r.kind == kind)
        self.api.put(
            {
                "apiVersion": resource.api_version,
                "kind": kind,
                "metadata": {"name": name, "namespace": NAMESPACE},
            }
            | content
        )


async def blessed(**changes) -> World:
    """Return a world in which version 1 is blessed."""
    world = World(**changes)
    await world.settle()
    world.succeed()
    await world.settle()
    return world
