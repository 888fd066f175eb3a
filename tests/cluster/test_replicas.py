"""Two replicas as real processes against a real API server: who leads, and what an idle one does.

The times are printed (`-s`) and bound only by what the lease promises.
"""

import time

import pytest

from modelyard_operator.naming import LEASE_NAME
from support import api_server as api_servers
from support import cel
from support.api_proxy import Proxy
from support.cel import drift_monitor, model_deployment, model_training, model_version
from support.operator_process import Operator, operator, until

pytestmark = pytest.mark.cluster

SYSTEM = "modelyard-system"
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases/{LEASE_NAME}"
OWN = "/apis/modelyard.dev/v1alpha1/namespaces"
UNANSWERED = 'rest_client_requests_total{code="<error>",method="GET"}'
WRITE_VERBS = {"create", "update", "patch", "delete"}


@pytest.fixture(scope="module")
def server(api_server_with_crds):
    api_server_with_crds.namespace(SYSTEM)
    return api_server_with_crds


@pytest.fixture
def pair(server, tmp_path):
    """A leader, and a standby that is ready."""
    with operator(server.kubeconfig, tmp_path, "one") as one:
        until("one leads", one.leads)
        with operator(server.kubeconfig, tmp_path, "two") as two:
            until("two is ready", two.is_ready)
            yield one, two


def holder(server):
    return server.call("GET", LEASE)["spec"]["holderIdentity"]


def test_a_standby_is_ready_and_does_not_lead(pair):
    one, two = pair

    assert (one.leads(), two.leads()) == (True, False)
    assert two.is_alive()


def test_a_leader_that_is_told_to_stop_hands_over_at_once(server, pair):
    one, two = pair

    started = time.monotonic()
    code = one.terminate()
    left = time.monotonic() - started
    until("two leads", two.leads, every=0.02)
    taken = time.monotonic() - started

    print(f"\nSIGTERM: ended after {left:.2f} s, the other leads after {taken:.2f} s")
    assert code == 0
    assert holder(server) == "two"
    assert taken < 15, "a lease that was released is not waited for"


def test_a_leader_that_was_killed_is_replaced_when_its_lease_runs_out(server, pair):
    one, two = pair

    started = time.monotonic()
    one.kill()
    until("two leads", two.leads, every=0.02)

    print(f"\nSIGKILL: the other leads after {time.monotonic() - started:.2f} s")
    assert holder(server) == "two"


def test_a_frozen_leader_ends_when_it_wakes(server, pair):
    one, two = pair
    one.freeze()
    until("two leads", two.leads)

    one.thaw()

    assert one.process.wait(30) == 3
    assert holder(server) == "two"


@pytest.fixture
def behind_proxy(server, tmp_path, request):
    """A leader at work that reaches its API server through a proxy, and the proxy."""
    path = f"{OWN}/{server.namespace(request.node.name.replace('_', '-')[:60].strip('-'))}"
    proxy = Proxy(server, lambda: None, set())
    kubeconfig = proxy.kubeconfig(tmp_path, server.token)
    with operator(kubeconfig, tmp_path, "behind-proxy") as replica:
        watch(server, path, "first")
        yield replica, proxy, path
    proxy.close()


def watch(server, path, name):
    """Make an object and wait until the operator has seen it."""
    monitors = f"{path}/driftmonitors"
    server.call("POST", monitors, cel.changed(drift_monitor.VALID, {"metadata.name": name}))
    until(f"{name} is seen", lambda: observed(server.call("GET", f"{monitors}/{name}")))


def test_a_moment_without_api_server_is_survived(server, behind_proxy):
    replica, proxy, path = behind_proxy
    proxy.cut()
    until("it has noticed", lambda: replica.sample(UNANSWERED) > 0)

    proxy.reconnect()

    watch(server, path, "second")
    assert replica.process.poll() is None


def test_a_leader_that_cannot_renew_ends(behind_proxy):
    replica, proxy, _ = behind_proxy

    proxy.cut()

    assert replica.process.wait(60) == 3


def test_a_standby_that_is_told_to_stop_leaves_the_lease_alone(server, pair):
    one, two = pair

    assert two.terminate() == 0
    assert (holder(server), one.leads()) == ("one", True)


def test_without_crds_the_operator_says_what_is_missing(tmp_path_factory, tmp_path):
    with api_servers.running(tmp_path_factory.mktemp("bare")) as bare:
        bare.namespace(SYSTEM)
        replica = Operator(bare.kubeconfig, tmp_path, "bare")

        assert replica.process.wait(60) == 2
    assert "The CRD modeltrainings.modelyard.dev" in replica.log.read_text()


def test_without_roles_the_operator_says_what_is_missing(server, tmp_path):
    kubeconfig = tmp_path / "stranger"
    certificate = server.folder / "certs" / "apiserver.crt"
    api_servers.write_kubeconfig(kubeconfig, server.url, server.stranger, certificate)
    replica = Operator(kubeconfig, tmp_path, "stranger")

    assert replica.process.wait(60) == 2
    assert "may not list modeltrainings.modelyard.dev" in replica.log.read_text()


def test_an_idle_operator_writes_nothing_but_its_lease(server, tmp_path):
    namespace = server.namespace("idle")
    for table in (model_version, model_training, model_deployment, drift_monitor):
        plural = f"{table.VALID['kind'].lower()}s"
        server.call("POST", f"{OWN}/{namespace}/{plural}", table.VALID)
    with operator(server.kubeconfig, tmp_path, "idle") as replica:
        until("everything has been looked at", lambda: settled(server, namespace))
        calm = replica.renewals() + 5
        until("five renewals to calm down", lambda: replica.renewals() >= calm)
        before = len(server.audit())
        until("ten more", lambda: replica.renewals() >= calm + 10)

    writes = [
        (entry["verb"], entry["requestURI"])
        for entry in server.audit()[before:]
        if "modelyard" in entry.get("userAgent", "") and entry["verb"] in WRITE_VERBS
    ]
    assert len(writes) >= 10
    assert [uri for _, uri in writes if "/leases/" not in uri] == []


def test_of_our_objects_only_the_status_is_ever_written(server):
    """Runs last: over all that was done here, no spec and no metadata was touched."""
    own = [
        entry["requestURI"]
        for entry in server.audit()
        if "modelyard" in entry.get("userAgent", "")
        and "/apis/modelyard.dev/" in entry["requestURI"]
        and entry["verb"] in {"update", "patch", "delete"}
    ]
    assert own
    assert [uri for uri in own if "/status?" not in uri] == []


def settled(server, namespace):
    """Return whether every object has been observed and the last write is a while ago."""
    plurals = ("modelversions", "modeltrainings", "modeldeployments", "driftmonitors")
    items = [
        item for p in plurals for item in server.call("GET", f"{OWN}/{namespace}/{p}")["items"]
    ]
    return all(map(observed, items))


def observed(item):
    return item["status"]["observedGeneration"] >= 1
