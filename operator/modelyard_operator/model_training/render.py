"""The objects of a run: ConfigMap, Job, ModelVersion."""

from collections.abc import Mapping
from math import ceil

from modelyard_core import canonical, codec, metrics
from modelyard_core.durations import parse_duration
from modelyard_core.runs import (
    REQUEST_FILE,
    Champion,
    ChampionGate,
    ColumnContract,
    DataContract,
    DataSource,
    ExitCode,
    Feature,
    GateOutcome,
    Gates,
    MetricGate,
    ParityGate,
    Pipeline,
    RunReport,
    RunRequest,
    Split,
)
from modelyard_operator import naming, pod_security, quantity
from modelyard_operator.api import resources
from modelyard_operator.api.resources import Obj
from modelyard_operator.api.v1alpha1 import model_training as api
from modelyard_operator.api.v1alpha1.common import Resources
from modelyard_operator.api.v1alpha1.model_training import ModelTraining
from modelyard_operator.api.v1alpha1.training_status import RunStatus
from modelyard_operator.model_training.ledger import request_id
from modelyard_operator.model_training.observed import CONTAINER, REQUEST_ANNOTATION, Observed

COMPONENT = "training"
TRIGGER_ANNOTATION = "modelyard.dev/trigger"
DEFAULT_CPU = "500m"
DEFAULT_MEMORY = "1Gi"
SCRATCH_LIMIT = "4Gi"
BACKOFF_LIMIT = 3
GRACE_SECONDS = 60
DEFAULT_MAX_CATEGORIES = 100
DEFAULT_CONFIDENCE = 0.95

REQUEST_MOUNT = "/modelyard/in"
DATA_MOUNT = "/modelyard/data"
STORE_MOUNT = "/modelyard/store"
SCRATCH_MOUNT = "/tmp"  # noqa: S108 - an emptyDir of the pod

_THREAD_CAPS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def run_name(training: ModelTraining, key: str) -> str:
    """Return the name of the run with this key."""
    return naming.run_name(training.metadata.name, canonical.short_hash(key))


def store_claim(training: ModelTraining, world: Observed) -> str:
    """Return the claim that keeps the bundles."""
    store = training.spec.store
    return store.pvc.claim_name if store else world.store_claim


# run.json


def config(training: ModelTraining, run: RunStatus, world: Observed) -> Obj:
    """Return the ConfigMap that tells the Job what to do."""
    obj = _child(training, run, resources.CONFIG_MAP)
    return obj | {
        "immutable": True,
        "data": {REQUEST_FILE: codec.dumps(request(training, run, world))},
    }


def request(training: ModelTraining, run: RunStatus, world: Observed) -> RunRequest:
    """Return what the Job is asked to do."""
    spec = training.spec
    parent = next((v for v in world.versions if v.number == run.parent), None)
    return RunRequest(
        training=training.metadata.name,
        namespace=training.metadata.namespace,
        run=run.name,
        run_key=run.key,
        task=spec.task,
        target=spec.target,
        data=_data(spec.data),
        split=_split(spec.data.split),
        features=tuple(_feature(each, spec.pipeline.estimator) for each in spec.features),
        pipeline=Pipeline(spec.pipeline.estimator, spec.pipeline.params or {}, spec.pipeline.seed),
        store_claim=store_claim(training, world),
        contract=_contract(spec.data.contract),
        gates=_gates(spec.gates),
        champion=Champion(parent.number, parent.digest, parent.uri) if parent else None,
        image=spec.runtime.image or world.images.training,
        trigger=run.trigger,
    )


def _data(data: api.Data) -> DataSource:
    if data.train.pvc:
        path, origin = data.train.pvc.path, f"pvc/{data.train.pvc.claim_name}"
    else:
        assert data.train.config_map is not None
        path, origin = data.train.config_map.path, f"configMap/{data.train.config_map.name}"
    return DataSource(path, origin, data.expected_digest)


def _split(split: api.Split) -> Split:
    return Split(
        strategy=split.strategy,
        test_fraction=float(split.test_fraction),
        seed=split.seed,
        key_column=split.key_column,
        time_column=split.time_column,
    )


def _feature(feature: api.Feature, estimator: str) -> Feature:
    """Return a feature with everything said that its author left open."""
    if feature.type == "Category":
        return Feature(
            feature.name,
            feature.type,
            encode=feature.encode or "OneHot",
            max_categories=feature.max_categories or DEFAULT_MAX_CATEGORIES,
        )
    takes_nan = estimator == "HistGradientBoosting"
    return Feature(
        feature.name,
        feature.type,
        missing=feature.missing or ("Native" if takes_nan else "ImputeMedian"),
        scale=feature.scale or ("Standard" if estimator == "Logistic" else "None"),
    )


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)


def _contract(contract: api.DataContract) -> DataContract:
    columns = tuple(
        ColumnContract(c.name, _number(c.min), _number(c.max), _number(c.max_missing))
        for c in contract.columns
    )
    return DataContract(contract.min_rows, columns)


def _gates(gates: api.Gates) -> Gates:
    parity = ParityGate(float(gates.parity.max_abs), float(gates.parity.max_rel))
    return Gates(tuple(_gate(gate) for gate in gates.metrics), parity)


def _gate(gate: api.MetricGate) -> MetricGate:
    versus = gate.versus_champion
    champion = (
        ChampionGate(float(versus.max_drop), float(versus.confidence or DEFAULT_CONFIDENCE))
        if versus
        else None
    )
    return MetricGate(gate.name, _number(gate.min), _number(gate.max), champion)


# The Job


def job(training: ModelTraining, run: RunStatus, world: Observed) -> Obj:
    """Return the Job of a run.

    It has no time to live: the operator deletes it when three newer ones have ended.
    """
    runtime = training.spec.runtime
    deadline = max(1, int(parse_duration(runtime.active_deadline).total_seconds()))
    obj = _child(training, run, resources.JOB)
    return obj | {
        "spec": {
            "parallelism": 1,
            "completions": 1,
            "backoffLimit": BACKOFF_LIMIT,
            "activeDeadlineSeconds": deadline,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {"rules": _failure_rules()},
            "template": {
                "metadata": {"labels": obj["metadata"]["labels"]},
                "spec": _pod(training, run, world),
            },
        }
    }


def _failure_rules() -> list[Obj]:
    """Return the rules in the order in which they are tried; what none matches is counted."""
    hopeless = [
        ExitCode.BAD_SPEC,
        ExitCode.BAD_DATA,
        ExitCode.CANNOT_CONVERT,
        ExitCode.GUARD,
    ]
    return [
        # A kill after an eviction is 137 too, so disruptions come first.
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "FailJob", "onExitCodes": _exit_codes(*map(int, hopeless))},
        {"action": "FailJob", "onExitCodes": _exit_codes(137)},
    ]


def _exit_codes(*values: int) -> Obj:
    return {"containerName": CONTAINER, "operator": "In", "values": list(values)}


def _pod(training: ModelTraining, run: RunStatus, world: Observed) -> Obj:
    runtime = training.spec.runtime
    placement = {
        "nodeSelector": runtime.node_selector,
        "tolerations": [toleration.to_json() for toleration in runtime.tolerations],
    }
    return {
        "restartPolicy": "Never",
        **pod_security.pod(GRACE_SECONDS),
        "containers": [_container(training, world)],
        "volumes": [
            {"name": "request", "configMap": {"name": run.name}},
            {"name": "data"} | _data_volume(training.spec.data.train),
            {
                "name": "store",
                "persistentVolumeClaim": {"claimName": store_claim(training, world)},
            },
            {"name": "scratch", "emptyDir": {"sizeLimit": SCRATCH_LIMIT}},
        ],
    } | {key: value for key, value in placement.items() if value}


def _data_volume(source: api.DataSource) -> Obj:
    if source.pvc:
        return {"persistentVolumeClaim": {"claimName": source.pvc.claim_name}}
    assert source.config_map is not None
    return {"configMap": {"name": source.config_map.name}}


def _container(training: ModelTraining, world: Observed) -> Obj:
    runtime = training.spec.runtime
    return {
        "name": CONTAINER,
        "image": runtime.image or world.images.training,
        "imagePullPolicy": world.images.pull_policy,
        "command": ["modelyard-train"],
        "env": [{"name": name, "value": str(threads(runtime.resources))} for name in _THREAD_CAPS],
        "resources": container_resources(runtime.resources),
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": pod_security.CONTAINER,
        "volumeMounts": [
            {"name": "request", "mountPath": REQUEST_MOUNT, "readOnly": True},
            {"name": "data", "mountPath": DATA_MOUNT, "readOnly": True},
            {"name": "store", "mountPath": STORE_MOUNT},
            {"name": "scratch", "mountPath": SCRATCH_MOUNT},
        ],
    }


def memory(resources_: Resources | None) -> str:
    """Return the memory of the container: what is requested and the limit are one number."""
    for amounts in (resources_ and resources_.limits, resources_ and resources_.requests):
        if amounts and amounts.memory:
            return amounts.memory
    return DEFAULT_MEMORY


def container_resources(resources_: Resources | None) -> Obj:
    """Return requests and limits; memory is promised in full, CPU is capped only on request."""
    limits = resources_.limits if resources_ else None
    requests = resources_.requests if resources_ else None
    limit_cpu = limits.cpu if limits else None
    request_cpu = (requests.cpu if requests else None) or limit_cpu or DEFAULT_CPU
    amount = {"memory": memory(resources_)}
    return {
        "requests": amount | {"cpu": request_cpu},
        "limits": amount | ({"cpu": limit_cpu} if limit_cpu else {}),
    }


def threads(resources_: Resources | None) -> int:
    """Return how many threads the container may use: its CPUs, rounded up."""
    amounts = container_resources(resources_)
    cpu = amounts["limits"].get("cpu") or amounts["requests"]["cpu"]
    return max(1, ceil(quantity.parse(cpu) or 1))


def _child(training: ModelTraining, run: RunStatus, resource: resources.Resource) -> Obj:
    obj = naming.child(
        training,
        resource,
        run.name,
        component=COMPONENT,
        labels={
            naming.TRAINING_LABEL: training.metadata.name,
            naming.RUN_LABEL: run.name,
        },
    )
    obj["metadata"]["annotations"] = {
        REQUEST_ANNOTATION: request_id(run.token, run.started_at),
        TRIGGER_ANNOTATION: run.trigger,
    }
    return obj


# The ModelVersion


def version(
    training: ModelTraining, run: RunStatus, report: RunReport, *, number: int, image: str
) -> Obj:
    """Return the ModelVersion that a report describes; it has no owner and outlives the training."""
    name = training.metadata.name
    optional = {
        "parent": run.parent,
        "dataDigest": report.data_digest,
        "headline": headline(training, report.metrics),
        "verdictReason": _verdict_reason(report),
    }
    return {
        "apiVersion": resources.MODEL_VERSION.api_version,
        "kind": resources.MODEL_VERSION.kind,
        "metadata": {
            "name": naming.version_name(name, number),
            "namespace": training.metadata.namespace,
            "labels": naming.MANAGED_BY | {naming.TRAINING_LABEL: name},
        },
        "spec": {
            "training": name,
            "version": number,
            "digest": report.digest,
            "uri": report.uri,
            "runKey": run.key,
            "run": run.name,
            "trigger": run.trigger,
            "metrics": {key: f"{value:.6g}" for key, value in sorted(report.metrics.items())},
            "verdict": report.verdict,
            "images": {"training": image},
        }
        | {key: value for key, value in optional.items() if value},
    }


def headline(training: ModelTraining, values: Mapping[str, float]) -> str | None:
    """Return the metric that is shown first: the first one that a gate names."""
    gated = (gate.name for gate in training.spec.gates.metrics)
    candidates = (*gated, *metrics.metrics_for(training.spec.task), *sorted(values))
    return next((name for name in candidates if name in values), None)


def _verdict_reason(report: RunReport) -> str:
    """Return the sentence of the gate that decided, failures first."""
    for outcome in (GateOutcome.FAILED, GateOutcome.INCONCLUSIVE):
        for gate in report.gates:
            if gate.outcome is outcome and gate.sentence:
                return gate.sentence[:512]
    return ""
