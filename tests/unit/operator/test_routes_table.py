"""What a state means for the routers, and what they have made of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from modelyard_core.codec import format_time
from modelyard_core.routes import Arm, Mirror, RouterState, RouteTable
from modelyard_operator.model_deployment import routes
from modelyard_operator.model_deployment.observed import Observed, PodSeen, RouterSeen, RoutesSeen
from modelyard_operator.model_deployment.routes import Shares
from modelyard_operator.ports import Images

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LIVE = RouteTable(7, Arm("old", "old", 950), Arm("new", "new", 50))


def router(applied=7, name="r", **pod):
    state = None if applied is None else RouterState(desired=applied, applied=applied or None)
    return RouterSeen(PodSeen(name, "10.0.0.1", is_ready=pod.pop("ready", True), **pod), state)


def seen(*routers, table=LIVE, written=timedelta(seconds=1)):
    images = Images("t", "s", "r")
    return Observed(
        now=NOW,
        images=images,
        routers=routers,
        routes=RoutesSeen(table, NOW - written) if table else None,
    )


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        pytest.param(Shares("old"), RouteTable(0, Arm("old", "old", 1000)), id="alone"),
        pytest.param(
            Shares("old", "new", 250),
            RouteTable(0, Arm("old", "old", 750), Arm("new", "new", 250)),
            id="weight",
        ),
        pytest.param(
            Shares("old", "new", 0, 30),
            RouteTable(0, Arm("old", "old", 1000), None, Mirror("new", "new", 30)),
            id="mirror",
        ),
        pytest.param(
            Shares("old", "new", 1000),
            RouteTable(0, Arm("old", "old", 0), Arm("new", "new", 1000)),
            id="promoting",
        ),
    ],
)
def test_shares_as_a_table(shares, expected):
    table = routes.table(shares, seen(table=None))

    assert table == replace(expected, version=1)
    assert routes.shares_of(table) == shares


def test_a_table_that_holds_keeps_its_version():
    assert routes.table(Shares("old", "new", 50), seen()) == LIVE


def test_another_table_has_a_higher_version_than_anything_that_is_known():
    world = seen(router(applied=7), router(applied=12))

    assert routes.table(Shares("old"), world).version == 13


def test_a_deleted_table_does_not_start_again_at_one():
    assert routes.table(Shares("old"), seen(router(applied=12), table=None)).version == 13


@pytest.mark.parametrize(
    ("routers", "everywhere", "over"),
    [
        pytest.param([], False, True, id="no-router-confirms-nothing"),
        pytest.param([router()], True, True, id="one-of-one"),
        pytest.param([router(), router(6)], False, False, id="one-is-behind"),
        pytest.param([router(), router(None)], False, False, id="an-agent-is-silent"),
        pytest.param([router(), router(None, ready=False)], True, True, id="one-is-starting"),
        pytest.param([router(), router(6, ready=False)], False, False, id="unready-but-routing"),
        pytest.param([router(), router(6, is_leaving=True)], True, False, id="a-leaving-is-behind"),
        pytest.param([router(), router(None, is_leaving=True)], True, True, id="a-leaving-is-gone"),
        pytest.param([router(8)], False, False, id="a-version-from-elsewhere"),
    ],
)
def test_confirmation(routers, everywhere, over):
    found = routes.confirmation(seen(*routers))

    assert (found.is_everywhere, found.is_over) == (everywhere, over)


def test_a_router_says_what_it_waits_for():
    waiting = RouterSeen(
        PodSeen("r", is_ready=True), RouterState(7, 6, waiting="no address for new")
    )

    assert routes.confirmation(seen(waiting)).waiting == "no address for new"


@pytest.mark.parametrize(
    ("poke", "written", "expected"),
    [
        pytest.param("", 1.0, True, id="never"),
        pytest.param("", 0.05, False, id="too-early-for-the-kubelet"),
        pytest.param(f"6@{format_time(NOW)}", 1.0, True, id="about-an-older-version"),
        pytest.param(f"7@{format_time(NOW - timedelta(seconds=1))}", 1.5, False, id="just-now"),
        pytest.param(f"7@{format_time(NOW - timedelta(seconds=3))}", 3.5, True, id="in-vain"),
        pytest.param("7@nonsense", 1.0, True, id="unreadable"),
    ],
)
def test_pokes(poke, written, expected):
    behind = router(6, poke=poke)
    world = seen(router(7, name="done"), behind, written=timedelta(seconds=written))

    assert routes.pods_to_poke(world) == (("r",) if expected else ())


def test_a_pod_without_an_agent_is_not_poked():
    assert routes.pods_to_poke(seen(router(None))) == ()
