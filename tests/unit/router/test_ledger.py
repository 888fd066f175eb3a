"""Counters stay exact and never fall while one Envoy lives, whatever it forgets."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard_core import codec
from modelyard_core.routes import ClusterCounters, add
from modelyard_router.admin import RawCounts
from modelyard_router.ledger import Ledger, counters, is_busy


def counted(requests, active=0):
    return ClusterCounters(
        total=requests,
        completed=requests,
        active=active,
        success=requests,
        buckets=((1.0, requests // 2), (5.0, requests)),
    )


def test_a_cluster_that_comes_again_goes_on_from_its_count():
    ledger = Ledger().observe("boot", {"a": counted(10)})

    ledger = ledger.observe("boot", {}).observe("boot", {"a": counted(3)})

    assert ledger.totals()["a"].completed == 13
    assert ledger.totals()["a"].buckets == ((1.0, 6), (5.0, 13))


def test_a_number_that_falls_is_a_new_life():
    ledger = Ledger().observe("boot", {"a": counted(10, active=2)})

    ledger = ledger.observe("boot", {"a": counted(4, active=1)})

    assert ledger.totals()["a"].total == 14
    assert ledger.totals()["a"].active == 1


def test_another_process_begins_anew():
    ledger = Ledger().observe("one", {"a": counted(10)}).observe("one", {})

    assert ledger.observe("two", {"a": counted(4)}).totals() == {"a": counted(4)}


def test_a_ledger_survives_its_agent():
    ledger = Ledger().observe("boot", {"a": counted(10)}).observe("boot", {"b": counted(2)})

    assert codec.loads(Ledger, codec.dumps(ledger)) == ledger


LIVES = st.lists(st.lists(st.integers(0, 50), min_size=1, max_size=5), max_size=6)


@given(LIVES)
def test_totals_are_the_sum_of_all_lives_and_never_fall(lives):
    """Each life is a list of requests between two readings; between lives the cluster is gone."""
    ledger, sent, last = Ledger(), 0, 0
    for life in lives:
        ledger, so_far = ledger.observe("boot", {}), 0
        for requests in life:
            so_far, sent = so_far + requests, sent + requests
            ledger = ledger.observe("boot", {"a": counted(so_far)})
            total = ledger.totals()["a"].total
            assert total == sent
            assert total >= last
            last = total


def test_envoys_numbers_in_our_terms():
    raw = RawCounts(
        {
            "total": 100,
            "completed": 103,
            "active": 2,
            "pending_active": 1,
            "2xx": 80,
            "4xx": 5,
            "5xx": 18,
            "pending_overflow": 6,
            "cancelled": 1,
            "cx_none_healthy": 2,
            "pending_failure_eject": 1,
            "timeout": 4,
            "rx_reset": 3,
        },
        ((1.0, 7),),
    )

    counts = counters(raw)

    assert counts == ClusterCounters(
        total=110,
        completed=103,
        active=2,
        success=85,
        errors=12,
        overflow=6,
        timeouts=4,
        resets=3,
        buckets=((1.0, 7),),
    )
    assert counts.total - counts.completed - counts.active == 5  # clients that gave up


@pytest.mark.parametrize(
    ("numbers", "success", "errors"),
    [
        pytest.param({"2xx": 10, "grpc.13": 3}, 7, 3, id="statuses-in-trailers"),
        pytest.param({"2xx": 9, "5xx": 1, "grpc.14": 1}, 9, 1, id="an-answer-of-envoys-own"),
        pytest.param({"2xx": 9, "5xx": 1, "grpc.14": 4}, 6, 4, id="both"),
        pytest.param({"2xx": 9, "5xx": 3, "grpc.14": 3, "pending_overflow": 2}, 9, 1, id="refused"),
        pytest.param({"2xx": 1, "grpc.2": 2}, 0, 2, id="read-while-they-change"),
    ],
)
def test_a_call_fails_by_its_status(numbers, success, errors):
    counts = counters(RawCounts(numbers))

    assert (counts.success, counts.errors) == (success, errors)


def test_a_waiting_request_keeps_a_cluster_busy():
    assert is_busy(RawCounts({"active": 1}))
    assert is_busy(RawCounts({"active": 0, "pending_active": 1}))
    assert not is_busy(RawCounts({"active": 0, "pending_active": 0}))


def test_adding_nothing_changes_nothing():
    assert add(counted(5), ClusterCounters()) == counted(5)
    assert add(ClusterCounters(), replace(counted(5), active=3)) == replace(counted(5), active=3)
