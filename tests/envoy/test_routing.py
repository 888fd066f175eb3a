"""Where requests go, and what they and their answers carry."""

import pytest

from support import envoy
from support.envoy import eventually, is_share, table


def test_before_the_first_table_everything_is_refused(router):
    eventually(lambda: router.envoy.applied() is not None)

    assert router.send(1) == {(503, None): 1}
    assert router.send(1, path="/_router/ready") == {(503, None): 1}


def test_an_applied_table_makes_the_pod_ready(router):
    router.apply(table(7))

    status, headers = router.ask(router.client(), path="/_router/ready")
    assert (status, headers["x-modelyard-route"]) == (200, "7")


@pytest.mark.parametrize("weight", [50, 300])
def test_the_split_follows_the_weights(router, weight):
    router.apply(table(1, canary="rain-b", weight=weight))
    sent, share = 1500, weight / 1000

    found = router.send(sent)

    assert sum(found.values()) == found[200, "rain-a"] + found[200, "rain-b"] == sent
    assert is_share(found[200, "rain-b"], sent, share)


def test_a_canary_without_weight_gets_nothing(router):
    router.apply(table(1, canary="rain-b", weight=0))

    assert router.send(100) == {(200, "rain-a"): 100}


def test_a_ramp_only_adds_clients_to_the_canary(router):
    users = [f"user-{number}" for number in range(60)]
    steps = []
    connection = router.client()
    for version, weight in enumerate((100, 300, 700), start=1):
        router.apply(table(version, canary="rain-b", weight=weight))
        answers = {user: router.ask(connection, user_id=user)[1] for user in users}
        steps.append({u for u in users if answers[u]["x-modelyard-revision"] == "rain-b"})

    assert steps[0] < steps[1] < steps[2]


def test_the_router_names_roles_and_nobody_else(router, backends):
    router.apply(table(1, canary="rain-b", weight=500))

    router.send(60, modelyard_role="shadow", modelyard_shadow="true")

    assert set(backends["rain-a"].seen.roles) == {"stable"}
    assert set(backends["rain-b"].seen.roles) == {"canary"}
    assert set(backends["rain-a"].seen.shadows) == {None}


def test_a_share_of_predictions_is_mirrored(router, backends):
    router.apply(table(1, canary="rain-b", weight=0, mirror="rain-b", percent=30))
    sent, share = 600, 0.3

    assert router.send(sent) == {(200, "rain-a"): sent}

    def copied():
        """Return the counts once all have come that were not too many at a time for the backend."""
        counts = router.counters().clusters["mirror-rain-b"]
        come = backends["rain-b"].seen.roles.total()
        return counts if counts.total == counts.completed == come + counts.overflow else None

    eventually(copied)
    assert is_share(copied().total, sent, share)
    assert set(backends["rain-b"].seen.roles) == {"shadow"}
    assert set(backends["rain-b"].seen.shadows) == {"true"}


def test_only_small_predictions_are_mirrored(router, backends):
    router.apply(table(1, mirror="rain-b"))

    router.send(5, path="/v2/health/live")
    router.send(1, body=b"x" * (256 * 1024 + 1))
    router.send(1, body=b"x" * (256 * 1024))

    eventually(lambda: router.counters().clusters["mirror-rain-b"].completed == 1)
    assert backends["rain-b"].seen.roles == {"shadow": 1}


def test_a_stuck_mirror_does_not_hurt(router, names, backends):
    names.addresses["rain-stuck"] = "127.0.0.9"
    with envoy.stuck_backend("127.0.0.9", router.settings.serving_port):
        router.apply(table(1, mirror="rain-stuck"))

        assert router.send(150, body=b"x" * 200_000) == {(200, "rain-a"): 150}

        shadow = router.counters().clusters["mirror-rain-stuck"]
        assert shadow.active <= 64
        assert shadow.overflow >= 150 - 64 - 8
        assert shadow.errors == 0
