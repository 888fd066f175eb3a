"""What happens to a table on its way into Envoy."""

from dataclasses import replace

import pytest

from modelyard_core import codec
from support.envoy import PATIENCE, WISHES, eventually, table

GOOD = table(1, canary="rain-b", weight=200)


def refused(router):
    eventually(lambda: router.state().error)
    return router.state()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param('{"version": 3, ', "not JSON", id="broken"),
        pytest.param('{"version": 3, "colour": 1}', "stable", id="incomplete"),
        pytest.param(codec.dumps(table(3, weight=10)), "not 1000", id="weights"),
    ],
)
def test_a_broken_table_keeps_the_routes(router, text, sentence):
    router.apply(GOOD)

    router.write(text)

    state = refused(router)
    assert sentence in state.error
    assert state.applied == 1
    assert not state.waiting
    assert set(router.send(100)) == {(200, "rain-a"), (200, "rain-b")}


def test_a_table_that_envoy_refuses_keeps_the_routes(router):
    router.apply(GOOD)
    router.stop_agent()
    router.settings = replace(router.settings, serving_port=70_000)  # Envoy knows 65,535
    router.start_agent()

    router.want(table(2, canary="rain-c", weight=200))

    state = refused(router)
    assert "Envoy refused" in state.error
    assert state.applied == 1
    assert (200, "rain-a") in router.send(20)


def test_a_refused_cluster_does_not_stay_beside_later_tables(router, backends):
    router.stop_agent()
    router.settings = replace(router.settings, serving_port=70_000)
    router.start_agent()
    router.want(table(1))
    refused(router)

    router.stop_agent()
    router.settings = replace(router.settings, serving_port=backends["rain-a"].server_port)
    router.start_agent()
    router.apply(table(2))

    assert router.send(5) == {(200, "rain-a"): 5}


def test_a_good_table_heals_a_broken_one(router):
    router.apply(GOOD)
    router.write("{}")
    refused(router)

    router.apply(table(2))

    assert router.state() == codec.loads(type(router.state()), '{"desired": 2, "applied": 2}')


def test_an_unknown_host_is_waited_for(router, names):
    router.apply(GOOD)

    router.want(table(2, canary="rain-late", weight=500))
    eventually(lambda: router.state().waiting)

    state = router.state()
    assert "rain-late" in state.waiting
    assert (state.desired, state.applied, state.error) == (2, 1, "")
    assert set(router.send(50)) == {(200, "rain-a"), (200, "rain-b")}

    names.addresses["rain-late"] = "127.0.0.4"
    eventually(lambda: router.state().applied == 2)
    assert router.state().waiting == ""


def test_an_unknown_host_without_weight_is_not_waited_for(router):
    router.apply(table(1, canary="rain-never", weight=0, mirror="rain-never"))

    assert router.send(20) == {(200, "rain-a"): 20}


def test_an_abort_is_not_behind_a_waiting_table(router):
    router.stop_agent()
    router.settings = replace(router.settings, warm_seconds=2 * PATIENCE)
    router.start_agent()
    router.apply(GOOD)
    router.want(table(2, canary="rain-never", weight=500))
    eventually(lambda: router.state().desired == 2)

    router.apply(table(3))

    assert router.send(20) == {(200, "rain-a"): 20}


def test_a_starting_router_needs_the_addresses_of_stable_only(router):
    router.apply(table(1, canary="rain-never", weight=100))

    assert (200, "rain-a") in router.send(30)


def test_a_vanished_file_changes_nothing(router):
    router.apply(GOOD)

    router.settings.routes_file.unlink()
    router.stop_agent()
    router.start_agent()

    assert router.state().applied == 1
    assert (200, "rain-a") in router.send(20)


def test_an_envoy_that_restarts_finds_its_routes(router):
    router.apply(GOOD)
    boot = router.counters().boot

    router.kill_envoy()
    router.start_envoy()

    eventually(lambda: router.counters().boot != boot)
    eventually(lambda: (200, "rain-a") in router.send(20))
    eventually(lambda: router.state().applied == 1)  # the agent may have seen it without routes


def test_added_and_removed_clusters_lose_no_request(router):
    router.apply(table(1))
    connection, answers = router.client(), set()

    def asked():
        answers.add(router.ask(connection)[0])
        return True

    for wish in WISHES:
        router.want(wish)
        eventually(lambda wish=wish: asked() and router.state().applied == wish.version)

    assert router.state().applied == 7
    assert answers == {200}
