"""The objects of a deployment, and what is read from pods."""

import pytest

from modelyard_core.readiness import LOADING
from modelyard_core.routes import LATENCY_EDGES_MS
from modelyard_operator.api.v1alpha1.rollout_strategy import Check, Threshold
from modelyard_operator.model_deployment import observed, plan
from support.rollout_world import World

CONTAINER = {"name": "serving", "ready": False}
LOG = '{"level": "info", "message": "begins"}\n{"level": "error", "message": "no key"}\n'


def pods(world):
    """Return the pod templates of all Deployments, by their names."""
    return {
        name: obj["spec"]["template"]["spec"]
        for (kind, name), obj in world.objects.items()
        if kind == "Deployment"
    }


@pytest.fixture
def world():
    env = [{"name": "MODELYARD_REVISION", "value": "mine"}, {"name": "THREADS", "value": "1"}]
    world = World(runtime={"env": env, "nodeSelector": {"disk": "fast"}})
    world.run(5)
    return world


def test_every_pod_is_restricted_and_has_no_token(world):
    for pod in pods(world).values():
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in (*pod["initContainers"], *pod["containers"]):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


def test_the_store_is_seen_by_the_fetch_container_alone(world):
    pod = pods(world)[world.status["stable"]["revision"]]
    mounts = {c["name"]: [m["name"] for m in c["volumeMounts"]] for c in pod["containers"]}

    assert mounts == {"serving": ["model", "scratch"]}
    assert pod["volumes"][2]["persistentVolumeClaim"] == {"claimName": "models", "readOnly": True}


def test_what_the_operator_says_to_a_server_cannot_be_overridden(world):
    revision = world.status["stable"]["revision"]
    env = pods(world)[revision]["containers"][0]["env"]

    assert {v["name"]: v["value"] for v in env} == {
        "MODELYARD_MODEL_NAME": "rain",
        "MODELYARD_MODEL_VERSION": "1",
        "MODELYARD_REVISION": revision,
        "MODELYARD_DIGEST": f"sha256:{1:064x}",
        "MODELYARD_MAX_BATCH_ROWS": "1024",
        "THREADS": "1",
    }
    assert pods(world)[revision]["nodeSelector"] == {"disk": "fast"}


def test_grpc_has_a_port_on_the_way_from_client_to_pod(world):
    revision = world.status["stable"]["revision"]
    services = {name: o for (kind, name), o in world.objects.items() if kind == "Service"}
    ports = {
        name: {port["name"]: (port["port"], port.get("appProtocol")) for port in o["spec"]["ports"]}
        for name, o in services.items()
    }
    (envoy,) = pods(world)["rain-router"]["containers"]

    assert ports == {
        "rain": {"http": (80, None), "grpc": (9000, "kubernetes.io/h2c")},
        revision: {"http": (8080, None), "grpc": (9000, "kubernetes.io/h2c")},
    }
    assert {port["name"]: port["containerPort"] for port in envoy["ports"]} == {
        "http": 8080,
        "grpc": 9000,
    }


SECRETS = {"access": {"secretName": "rain-keys"}, "receipts": {"secretName": "rain-signing"}}


def test_secrets_are_mounted_whole_and_the_server_is_told_where():
    world = World(runtime=SECRETS)
    world.run(5)
    pod = pods(world)[world.status["stable"]["revision"]]
    (serve,), (fetch,) = pod["containers"], pod["initContainers"]

    assert [v for v in pod["volumes"] if "secret" in v] == [
        {"name": "access", "secret": {"secretName": "rain-keys", "defaultMode": 0o440}},
        {"name": "receipts", "secret": {"secretName": "rain-signing", "defaultMode": 0o440}},
    ]
    assert serve["volumeMounts"][-2:] == [
        {"name": "access", "mountPath": "/modelyard/access", "readOnly": True},
        {"name": "receipts", "mountPath": "/modelyard/receipts", "readOnly": True},
    ]
    assert {"name": "MODELYARD_KEYS_FILE", "value": "/modelyard/access/keys"} in serve["env"]
    assert {"name": "MODELYARD_RECEIPT_KEY_FILE", "value": "/modelyard/receipts/key"} in serve[
        "env"
    ]
    assert {m["name"] for m in fetch["volumeMounts"]} == {"model", "store"}


@pytest.mark.parametrize(
    ("status", "volumes", "words"),
    [
        pytest.param(
            "False",
            [{"secret": {"secretName": "a"}}, {"secret": {"secretName": "b"}}, {"emptyDir": {}}],
            "a pod has not started; it needs the Secret a and the Secret b",
            id="two-secrets",
        ),
        pytest.param("False", [{"emptyDir": {}}], "", id="no-secret"),
        pytest.param("True", [{"secret": {"secretName": "a"}}], "", id="it-has-started"),
    ],
)
def test_a_pod_that_has_not_started_says_which_secrets_it_needs(status, volumes, words):
    conditions = {"PodReadyToStartContainers": {"status": status}}

    assert observed._unmounted({"spec": {"volumes": volumes}}, conditions) == words


def test_every_child_belongs_to_the_deployment(world):
    mine = [obj for (kind, _), obj in world.objects.items() if kind != "ModelVersion"]

    assert {(kind, name) for kind, name in world.objects if kind != "ModelVersion"} == {
        ("ConfigMap", "rain-routes"),
        ("Deployment", "rain-router"),
        ("PodDisruptionBudget", "rain-router"),
        ("Service", "rain"),
        ("Deployment", world.status["stable"]["revision"]),
        ("Service", world.status["stable"]["revision"]),
    }
    for obj in mine:
        assert obj["metadata"]["ownerReferences"][0]["kind"] == "ModelDeployment"
        assert obj["metadata"]["labels"]["modelyard.dev/deployment"] == "rain"


def test_thresholds_are_edges_of_the_routers_buckets():
    edges = [Check(type="Latency", threshold=t).threshold_ms for t in Threshold.__args__]

    assert set(edges) < set(LATENCY_EDGES_MS)
    assert max(edges) < max(LATENCY_EDGES_MS)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        pytest.param({}, "", id="nothing-known"),
        pytest.param(
            {"conditions": [{"type": "PodScheduled", "status": "False", "message": "no node"}]},
            "Unschedulable: no node",
            id="unschedulable",
        ),
        pytest.param(
            {
                "containerStatuses": [
                    CONTAINER | {"state": {"waiting": {"reason": "PodInitializing"}}}
                ]
            },
            "",
            id="just-starting",
        ),
        pytest.param(
            {
                "containerStatuses": [
                    CONTAINER | {"state": {"waiting": {"reason": "ErrImagePull", "message": "x"}}}
                ]
            },
            "ErrImagePull: x",
            id="no-image",
        ),
        pytest.param(
            {
                "initContainerStatuses": [
                    CONTAINER
                    | {
                        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                        "lastState": {"terminated": {"message": "digest differs\n", "exitCode": 1}},
                    }
                ]
            },
            "digest differs",
            id="its-own-last-words",
        ),
        pytest.param(
            {
                "containerStatuses": [
                    CONTAINER | {"state": {"terminated": {"message": LOG, "exitCode": 1}}}
                ]
            },
            "no key",
            id="the-last-line-of-its-log",
        ),
        pytest.param(
            {
                "containerStatuses": [
                    CONTAINER | {"state": {"terminated": {"message": "[1]", "exitCode": 1}}}
                ]
            },
            "[1]",
            id="words-that-look-like-a-document",
        ),
        pytest.param(
            {
                "containerStatuses": [
                    CONTAINER | {"state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}
                ]
            },
            "serving ended with code 137: OOMKilled",
            id="killed",
        ),
        pytest.param(
            {
                "initContainerStatuses": [
                    CONTAINER | {"state": {"terminated": {"reason": "Completed", "exitCode": 0}}}
                ]
            },
            "",
            id="done",
        ),
    ],
)
def test_what_keeps_a_pod_from_getting_ready(status, words):
    conditions = {c["type"]: c for c in status.get("conditions", [])}

    assert observed._trouble(status, conditions) == words


REFUSED = "input 'x' is FP64 [-1, 1] in the model, FP32 [-1, 1] in the signature"
RUNNING = CONTAINER | {"state": {"running": {}}}
STOPPED = RUNNING | {
    "lastState": {"terminated": {"exitCode": 0, "reason": "Completed", "message": REFUSED}}
}
KILLED = RUNNING | {"lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}
WORDS = "serving ended with code 137: OOMKilled"


@pytest.mark.parametrize(
    ("container", "said", "trouble"),
    [
        pytest.param(RUNNING, REFUSED, REFUSED, id="its-server-says-why"),
        pytest.param(RUNNING, "", "", id="its-server-is-silent"),
        pytest.param(RUNNING, LOADING, LOADING, id="it-is-loading"),
        pytest.param(KILLED, LOADING, WORDS, id="it-is-loading-again-after-it-was-killed"),
        pytest.param(KILLED, REFUSED, REFUSED, id="what-it-says-now-counts-more-than-its-past"),
        pytest.param(KILLED, "", WORDS, id="its-past-explains-its-silence"),
        pytest.param(STOPPED, "", REFUSED, id="its-last-words-need-no-network"),
        pytest.param(STOPPED, LOADING, REFUSED, id="its-last-words-while-it-loads-again"),
    ],
)
def test_what_a_server_says_is_weighed_against_what_the_kubelet_says(container, said, trouble):
    known = observed._trouble({"containerStatuses": [container]}, {})

    assert observed._worse(known, said) == trouble


@pytest.fixture
def unready():
    world = World(replicas=10)
    world.behaviours[1].says = REFUSED
    world.behaviours[1].becomes_ready = False
    return world


def test_a_pod_that_runs_and_is_not_ready_says_why_in_the_condition(unready):
    unready.run(10)

    assert unready.status["summary"] == f"v1: 0 of 10 pods ready: {REFUSED}."


def test_only_a_few_pods_are_asked_in_a_pass(unready):
    unready.settle()
    unready.asked.clear()

    unready.step()

    assert len(unready.asked) == observed.MAX_ASKED


def test_a_ready_pod_is_not_asked(world):
    assert world.asked == []


def test_a_crashing_pod_is_not_asked(unready):
    unready.behaviours[1].says = None

    unready.run(10)

    assert unready.asked == []


def test_a_server_that_runs_without_being_ready_is_asked_again_and_again(world):
    world.behaviours[1].says = "first"
    world.behaviours[1].becomes_ready = False
    world.run(10)
    assert world.condition("Available")["message"] == "v1 has no ready pod: first."
    assert world.step().requeue_after == plan.PODS_LOOK

    world.behaviours[1].says = "second"
    world.step()

    assert world.condition("Available")["message"] == "v1 has no ready pod: second."
