"""gRPC goes the way of the routes: by weight, with roles, counted, and never mirrored."""

import json

import pytest
from grpc import StatusCode

from modelyard_core.routes import grpc_cluster
from support.envoy import PATIENCE, WISHES, eventually, is_share, table
from support.grpc_router import call, calls, channel

OK = StatusCode.OK
FAULTS = (2, 4, 13, 14, 15)
"""Statuses that are the server's fault, in numbers."""


def settled(router, revision):
    """Return the counts of a revision's calls once none is under way."""

    def found():
        counts = router.counters().clusters.get(grpc_cluster(revision))
        return counts is not None and not counts.active and counts

    eventually(found)
    return found()


@pytest.fixture(autouse=True)
def _listening(callees):
    """Every revision speaks gRPC."""


def test_before_the_first_table_a_call_is_unavailable(router):
    eventually(lambda: router.envoy.applied() is not None)

    assert calls(router, 1) == {(StatusCode.UNAVAILABLE, None): 1}


def test_calls_are_split_by_weight(router):
    router.apply(table(1, canary="rain-b", weight=300))
    sent, share = 600, 0.3

    found = calls(router, sent)

    assert found[OK, "rain-a"] + found[OK, "rain-b"] == sent
    assert is_share(found[OK, "rain-b"], sent, share)


def test_the_router_names_roles_and_requests(router, callees):
    router.apply(table(4, canary="rain-b", weight=500))

    calls(router, 60, modelyard_role="shadow")

    assert set(callees["rain-a"].roles) == {"stable"}
    assert set(callees["rain-b"].roles) == {"canary"}
    ids = callees["rain-a"].ids + callees["rain-b"].ids
    assert len(set(ids)) == 60


def test_answers_say_which_table_they_follow(router):
    router.apply(table(7))

    with channel(router) as opened:
        _, revision, said = call(opened)

    assert (revision, said["x-modelyard-route"]) == ("rain-a", "7")


def test_messages_larger_than_any_buffer_pass(router):
    router.apply(table(1))
    message = b"x" * 3_000_000

    with channel(router) as opened:
        answer = opened.unary_unary("/x.Y/Z")(message, timeout=PATIENCE)

    assert answer == message


def test_a_user_stays_on_one_side(router):
    router.apply(table(1, canary="rain-b", weight=500))

    for user in range(8):
        assert len(calls(router, 5, user_id=user)) == 1


def test_the_port_of_http_takes_calls_too(router):
    router.apply(table(1))

    assert calls(router, 3, port=router.settings.http_port) == {(OK, "rain-a"): 3}


def test_calls_are_not_mirrored(router, backends, callees):
    router.apply(table(1, mirror="rain-b"))

    assert calls(router, 20) == {(OK, "rain-a"): 20}
    router.send(1)

    eventually(lambda: router.counters().clusters["mirror-rain-b"].completed == 1)
    assert backends["rain-b"].seen.roles == {"shadow": 1}
    assert callees["rain-b"].roles == {}


@pytest.mark.parametrize("status", [*FAULTS, 3, 5, 8, 12, 16])
def test_only_faults_of_the_server_are_errors(router, status):
    router.apply(table(1))

    calls(router, 7)
    calls(router, 5, status=status)

    counts = settled(router, "rain-a")
    errors = 5 if status in FAULTS else 0
    assert counts.total == counts.completed == 12
    assert (counts.success, counts.errors) == (12 - errors, errors)


def test_the_log_tells_of_what_went_wrong_at_a_server(router):
    router.apply(table(1))

    calls(router, 1, status=3)
    calls(router, 1, status=13)
    router.send(1, status=400)
    router.send(1, status=500)

    def logged():
        lines = router.log_path.read_text().splitlines()
        return [json.loads(line) for line in lines if '"code"' in line]

    eventually(lambda: len(logged()) >= 2)
    assert [(line["code"], line["grpc"]) for line in logged()] == [
        (200, "Internal"),
        (500, None),
    ]


def test_the_two_protocols_are_counted_apart(router):
    router.apply(table(1, canary="rain-b", weight=400))

    found = calls(router, 200)
    router.send(30)

    clusters = router.counters().clusters
    assert clusters["rain-a"].total + clusters["rain-b"].total == 30
    for revision in ("rain-a", "rain-b"):
        counts = settled(router, revision)
        assert counts.total == counts.success == found[OK, revision]


def test_the_histogram_counts_every_call(router):
    router.apply(table(1))
    calls(router, 50)

    eventually(lambda: settled(router, "rain-a").buckets[-1][1] == 50)


def test_a_client_that_gives_up_is_counted(router, callees):
    router.apply(table(1))
    with channel(router) as opened:
        for number in range(3):
            pending = opened.unary_unary("/x.Y/Z").future(b"?", metadata=[("x-hang", "1")])
            eventually(lambda n=number: callees["rain-a"].roles.total() > n)
            pending.cancel()

    counts = settled(router, "rain-a")
    assert (counts.total - counts.completed, counts.errors) == (3, 0)


@pytest.mark.parametrize("how", ["no address", "connection refused"])
def test_a_call_that_finds_no_backend_is_one_error(router, names, how):
    if how == "connection refused":
        names.addresses["rain-dead"] = "127.0.0.8"
    router.apply(table(1, canary="rain-dead", weight=1000))

    assert set(calls(router, 5)) == {(StatusCode.UNAVAILABLE, "rain-dead")}

    counts = settled(router, "rain-dead")
    assert (counts.total, counts.completed, counts.errors, counts.overflow) == (5, 5, 5, 0)


def test_revisions_that_speak_no_grpc_still_serve_http(router, callees):
    for callee in callees.values():
        callee.close()
    router.apply(table(1))

    assert set(calls(router, 2)) == {(StatusCode.UNAVAILABLE, "rain-a")}
    assert router.send(5) == {(200, "rain-a"): 5}


def test_a_removed_cluster_keeps_its_counts(router):
    router.apply(table(1, canary="rain-b", weight=500))
    first = calls(router, 100)
    router.apply(table(2))
    eventually(lambda: grpc_cluster("rain-b") not in router.envoy.counts())

    router.apply(table(3, canary="rain-b", weight=500))
    second = calls(router, 100)

    assert settled(router, "rain-b").completed == (first + second)[OK, "rain-b"]


def test_watching_health_is_refused_and_asking_is_not(router):
    router.apply(table(1))

    with channel(router) as opened:
        watched, _, _ = call(opened, "/grpc.health.v1.Health/Watch")
        asked, revision, _ = call(opened, "/grpc.health.v1.Health/Check")

    assert (watched, asked, revision) == (StatusCode.UNIMPLEMENTED, OK, "rain-a")


def test_added_and_removed_clusters_lose_no_call(router):
    router.apply(table(1))
    ends = set()
    with channel(router) as opened:

        def called():
            ends.add(call(opened)[0])
            return True

        for wish in WISHES:
            router.want(wish)
            eventually(lambda wish=wish: called() and router.state().applied == wish.version)

    assert router.state().applied == 7
    assert ends == {OK}
