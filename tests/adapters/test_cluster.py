"""The adapter against the real API server."""

import time

import pytest

from modelyard_operator import children, naming
from modelyard_operator.adapters import credentials
from modelyard_operator.adapters.bucket import TokenBucket
from modelyard_operator.adapters.cluster import KubernetesApi
from modelyard_operator.api import resources
from modelyard_operator.ports import ApiError
from modelyard_operator.telemetry import Telemetry
from support import api_server as api_servers
from support.ports import free_port

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def namespace(api_server):
    return api_server.namespace("adapters")


@pytest.fixture
def telemetry():
    return Telemetry()


@pytest.fixture
async def api(api_server, telemetry):
    identity = await credentials.load(str(api_server.kubeconfig))
    bucket = TokenBucket(1000, 1000, time.monotonic)
    async with KubernetesApi(identity, telemetry, bucket) as api:
        yield api


@pytest.fixture
def owner(api_server, namespace):
    """A living object that can own others."""
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "owner-"}}
    live = api_server.call("POST", f"/api/v1/namespaces/{namespace}/configmaps", document)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": live["metadata"]["name"],
        "uid": live["metadata"]["uid"],
        "controller": True,
    }


def config_map(namespace, name, owner=None, **data):
    metadata = {"name": name, "namespace": namespace, "labels": dict(naming.MANAGED_BY)}
    if owner is not None:
        metadata["ownerReferences"] = [owner]
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def deployment(namespace, name, owner, *, memory="1024Mi", cpu="1000m", env=True):
    container = {
        "name": "main",
        "image": "x:1",
        "ports": [{"name": "http", "containerPort": 8080}],
        "resources": {"requests": {"cpu": cpu, "memory": memory}},
    }
    if env:
        container["env"] = [{"name": "A", "value": "1"}]
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container]}}
    head = config_map(namespace, name, owner) | {"apiVersion": "apps/v1", "kind": "Deployment"}
    del head["data"]
    return head | {
        "spec": {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    }


async def test_what_does_not_exist_is_none(api, namespace):
    assert await api.get(resources.CONFIG_MAP, namespace, "nothing") is None


async def test_items_of_a_list_say_what_they_are(api, namespace):
    await api.create(config_map(namespace, "listed"))

    found = await api.list(resources.CONFIG_MAP, namespace, naming.MANAGED_BY)

    listed = next(obj for obj in found if obj["metadata"]["name"] == "listed")
    assert (listed["apiVersion"], listed["kind"]) == ("v1", "ConfigMap")


async def test_a_list_is_narrowed_by_its_labels(api, namespace):
    assert await api.list(resources.CONFIG_MAP, namespace, {"nobody": "has-this"}) == []


async def test_creating_what_exists_is_a_conflict(api, namespace):
    await api.create(config_map(namespace, "twice"))

    with pytest.raises(ApiError) as refused:
        await api.create(config_map(namespace, "twice"))

    assert (refused.value.code, refused.value.reason) == (409, "AlreadyExists")


async def test_a_child_that_is_created_twice_is_the_same_child(api, namespace, owner):
    for _ in range(2):
        await children.create(api, config_map(namespace, "child-twice", owner))


async def test_the_child_of_another_is_never_taken(api, namespace, owner):
    await children.create(api, config_map(namespace, "theirs", owner))
    mine = owner | {"name": "another", "uid": "11111111-1111-1111-1111-111111111111"}

    with pytest.raises(children.ForeignOwner, match="ConfigMap theirs belongs to ConfigMap owner-"):
        await children.create(api, config_map(namespace, "theirs", mine))


async def test_an_object_that_nobody_owns_is_never_taken(api, api_server, namespace, owner):
    unlabelled = config_map(namespace, "users-own")
    del unlabelled["metadata"]["labels"]
    api_server.call("POST", f"/api/v1/namespaces/{namespace}/configmaps", unlabelled)

    with pytest.raises(children.ForeignOwner, match="is not managed by Modelyard"):
        await children.apply(api, config_map(namespace, "users-own", owner))


async def test_applying_again_writes_nothing(api, namespace, owner, telemetry):
    """The API server spells quantities and defaults in its own way; that is no difference."""
    wanted = deployment(namespace, "again", owner)
    await children.apply(api, wanted)
    await children.apply(api, wanted)

    assert patches(telemetry) == 1


async def test_a_field_that_is_no_longer_wanted_goes(api, namespace, owner):
    await children.apply(api, deployment(namespace, "less", owner))

    await children.apply(api, deployment(namespace, "less", owner, env=False))

    live = await api.get(resources.DEPLOYMENT, namespace, "less")
    assert "env" not in live["spec"]["template"]["spec"]["containers"][0]


async def test_a_change_by_hand_is_put_back_and_additions_stay(api, api_server, namespace, owner):
    wanted = config_map(namespace, "edited", owner, size="1")
    await children.apply(api, wanted)
    path = resources.CONFIG_MAP.path(namespace, "edited")
    api_server.call("PATCH", path, {"data": {"size": "2", "more": "x"}}, "merge")

    await children.apply(api, wanted)

    live = await api.get(resources.CONFIG_MAP, namespace, "edited")
    assert live["data"] == {"size": "1", "more": "x"}


async def test_a_removed_owner_reference_is_restored(api, api_server, namespace, owner):
    wanted = config_map(namespace, "orphan", owner)
    await children.apply(api, wanted)
    path = resources.CONFIG_MAP.path(namespace, "orphan")
    api_server.call("PATCH", path, {"metadata": {"ownerReferences": None}}, "merge")

    await children.apply(api, wanted)

    live = await api.get(resources.CONFIG_MAP, namespace, "orphan")
    assert live["metadata"]["ownerReferences"][0]["uid"] == owner["uid"]


async def test_deleting_needs_the_right_uid(api, namespace):
    live = await api.create(config_map(namespace, "delete-me"))

    with pytest.raises(ApiError) as refused:
        await api.delete(resources.CONFIG_MAP, namespace, "delete-me", "another-uid")
    assert refused.value.code == 409

    await api.delete(resources.CONFIG_MAP, namespace, "delete-me", live["metadata"]["uid"])
    assert await api.get(resources.CONFIG_MAP, namespace, "delete-me") is None


async def test_deleting_what_is_gone_is_silent(api, namespace):
    await api.delete(resources.CONFIG_MAP, namespace, "never-was", "uid")


async def test_annotating_what_is_gone_is_silent(api, namespace):
    await api.annotate(resources.POD, namespace, "never-was", {"a": "b"})


async def test_annotations_are_merged(api, namespace):
    await api.create(config_map(namespace, "noted"))
    await api.annotate(resources.CONFIG_MAP, namespace, "noted", {"a": "1"})
    await api.annotate(resources.CONFIG_MAP, namespace, "noted", {"b": "2"})

    live = await api.get(resources.CONFIG_MAP, namespace, "noted")
    assert live["metadata"]["annotations"] == {"a": "1", "b": "2"}


async def test_replacing_an_old_version_is_a_conflict(api, namespace):
    old = await api.create(config_map(namespace, "locked"))
    await api.replace(old | {"data": {"a": "1"}})

    with pytest.raises(ApiError) as refused:
        await api.replace(old | {"data": {"a": "2"}})

    assert (refused.value.code, refused.value.reason) == (409, "Conflict")


async def test_a_quota_speaks_through_the_error(api, api_server, namespace):
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "none"},
        "spec": {"hard": {"count/jobs.batch": "0"}},
        "status": {"hard": {"count/jobs.batch": "0"}, "used": {"count/jobs.batch": "0"}},
    }
    path = f"/api/v1/namespaces/{namespace}/resourcequotas"
    live = api_server.call("POST", path, quota)
    api_server.call("PUT", f"{path}/none/status", live | {"status": quota["status"]})
    spec = {"restartPolicy": "Never", "containers": [{"name": "a", "image": "b"}]}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "over", "namespace": namespace},
        "spec": {"template": {"spec": spec}},
    }

    with pytest.raises(ApiError) as refused:
        await api.create(job)

    assert refused.value.code == 403
    assert "exceeded quota: none" in refused.value.message


async def test_a_terminating_namespace_is_named_as_the_cause(api, api_server):
    name = api_server.namespace("terminating")
    document = api_server.call("GET", f"/api/v1/namespaces/{name}")
    document["metadata"]["finalizers"] = ["modelyard.dev/test"]
    api_server.call("PUT", f"/api/v1/namespaces/{name}", document)
    api_server.call("DELETE", f"/api/v1/namespaces/{name}")

    with pytest.raises(ApiError) as refused:
        await api.create(config_map(name, "late"))

    assert "NamespaceTerminating" in refused.value.causes


async def test_who_may_not_is_told_so(api_server, namespace, telemetry, tmp_path):
    kubeconfig = tmp_path / "stranger"
    certificate = api_server.folder / "certs" / "apiserver.crt"
    api_servers.write_kubeconfig(kubeconfig, api_server.url, api_server.stranger, certificate)
    identity = await credentials.load(str(kubeconfig))
    async with KubernetesApi(identity, telemetry, TokenBucket(9, 9, time.monotonic)) as stranger:
        with pytest.raises(ApiError) as refused:
            await stranger.probe(resources.CONFIG_MAP, None)

    assert refused.value.code == 403
    assert 'cannot list resource "configmaps"' in refused.value.message


async def test_an_api_server_that_is_away_is_an_error_of_its_own(telemetry, tmp_path):
    kubeconfig = tmp_path / "nobody"
    api_servers.write_kubeconfig(kubeconfig, f"http://127.0.0.1:{free_port()}", "x")
    identity = await credentials.load(str(kubeconfig))
    async with KubernetesApi(identity, telemetry, TokenBucket(9, 9, time.monotonic)) as api:
        with pytest.raises(ApiError, match="does not answer") as refused:
            await api.probe(resources.CONFIG_MAP, None)

    assert refused.value.code == 0


async def test_a_replica_that_does_not_lead_writes_nothing(api, namespace):
    api.may_write = lambda: False

    with pytest.raises(ApiError, match="does not lead"):
        await api.create(config_map(namespace, "forbidden"))
    assert await api.get(resources.CONFIG_MAP, namespace, "forbidden") is None


async def test_requests_are_counted_by_code_and_method(api, namespace, telemetry):
    await api.get(resources.CONFIG_MAP, namespace, "nothing")

    labels = {"code": "404", "method": "GET"}
    assert telemetry.registry.get_sample_value("rest_client_requests_total", labels) == 1


def patches(telemetry):
    """Return how many PATCH requests have been answered."""
    return sum(
        sample.value
        for metric in telemetry.requests.collect()
        for sample in metric.samples
        if sample.name.endswith("_total") and sample.labels["method"] == "PATCH"
    )
