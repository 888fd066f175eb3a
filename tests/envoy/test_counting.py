"""The counters are the client's own numbers."""

import socket
from collections import Counter

import pytest

from support.envoy import eventually, table

HANG = "POST /v2/models/rain/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nx-hang: 1\r\n\r\n"


def settled(router, name):
    """Return a cluster's counts once nothing is in flight and the histogram has caught up."""

    def found():
        counts = router.counters().clusters.get(name)
        return counts is not None and not counts.active and counts

    eventually(found)
    return found()


def completed(router):
    return {name: counts.completed for name, counts in router.counters().clusters.items()}


def test_counters_equal_the_clients_count(router):
    router.apply(table(1, canary="rain-b", weight=400))

    found = router.send(300) + router.send(40, status=500) + router.send(30, status=404)

    for revision in ("rain-a", "rain-b"):
        counts = settled(router, revision)
        mine = Counter({status: n for (status, name), n in found.items() if name == revision})
        assert counts.total == counts.completed == mine.total()
        assert counts.success == mine[200] + mine[404]
        assert counts.errors == mine[500]


def test_the_histogram_counts_every_answer(router):
    router.apply(table(1))
    router.send(50)

    eventually(lambda: router.counters().clusters["rain-a"].buckets[-1][1] == 50)

    edges, counts = zip(*router.counters().clusters["rain-a"].buckets, strict=True)
    assert edges[:3] == (1.0, 2.5, 5.0)
    assert list(counts) == sorted(counts)


def test_a_removed_cluster_keeps_its_counts(router):
    router.apply(table(1, canary="rain-b", weight=500))
    first = router.send(100)
    router.apply(table(2))
    eventually(lambda: "rain-b" not in router.envoy.counts())

    router.apply(table(3, canary="rain-b", weight=500))
    second = router.send(100)

    assert settled(router, "rain-b").completed == (first + second)[200, "rain-b"]
    assert settled(router, "rain-b").buckets[-1][1] <= (first + second)[200, "rain-b"]


def test_an_agent_that_restarts_keeps_the_counts(router):
    router.apply(table(1, canary="rain-b", weight=500))
    router.send(100)
    router.apply(table(2))
    eventually(lambda: "rain-b" not in router.envoy.counts())
    before = completed(router)

    router.stop_agent()
    router.start_agent()

    assert completed(router) == before
    assert before["rain-a"] + before["rain-b"] == 100


def test_a_client_that_gives_up_is_counted(router, backends):
    router.apply(table(1))
    router.send(10)

    for _ in range(5):
        with socket.create_connection(("127.0.0.1", router.settings.http_port)) as connection:
            seen = backends["rain-a"].seen.roles.total()
            connection.sendall(HANG.encode())
            eventually(lambda seen=seen: backends["rain-a"].seen.roles.total() > seen)

    counts = settled(router, "rain-a")
    assert (counts.completed, counts.total - counts.completed) == (10, 5)
    assert counts.errors == 0


@pytest.mark.parametrize("how", ["no address", "connection refused"])
def test_a_request_that_finds_no_backend_is_an_error(router, names, how):
    if how == "connection refused":
        names.addresses["rain-dead"] = "127.0.0.8"
    router.apply(table(1, canary="rain-dead", weight=1000))

    assert router.send(5) == {(503, "rain-dead"): 5}

    counts = settled(router, "rain-dead")
    assert (counts.total, counts.completed, counts.errors, counts.overflow) == (5, 5, 5, 0)


def test_metrics_are_envoys_and_the_agents_own(router):
    router.apply(table(4))
    router.send(3)

    page = router.page("/metrics").decode()

    assert "modelyard_router_table_applied_version 4" in page
    assert 'envoy_cluster_upstream_rq_total{envoy_cluster_name="rain-a"} 3' in page


def test_without_envoy_there_are_no_counters_but_still_metrics(router):
    router.apply(table(4))
    router.kill_envoy()

    with pytest.raises(OSError, match="Envoy"):
        router.counters()
    assert "modelyard_router_table_desired_version 4" in router.page("/metrics").decode()
