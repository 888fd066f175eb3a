"""Router counters are counted once, whatever routers do."""

from datetime import UTC, datetime, timedelta

import pytest

from modelyard_core.routes import ClusterCounters, RouterCounters
from modelyard_operator.api.v1alpha1.rollout_status import MAX_TRACE, Finding
from modelyard_operator.api.v1alpha1.rollout_strategy import Analysis, Check
from modelyard_operator.model_deployment import analysis
from modelyard_operator.model_deployment.analysis import Arms, Interval
from modelyard_operator.model_deployment.evidence import NOTHING, Tally

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
ARMS = Arms("old", "new")
BOTH = Analysis(
    checks=(Check(type="Errors"), Check(type="Latency", threshold="50ms")), min_requests=20
)
ERRORS = Analysis(min_requests=20)


def cluster(answered=0, errors=0, lost=0, active=0, slow=0, overflow=0):
    """Counts as a router has them; every answer but the slow ones took 4 ms."""
    return ClusterCounters(
        total=answered + lost + active + overflow,
        completed=answered + overflow,
        active=active,
        success=answered - errors,
        errors=errors,
        overflow=overflow,
        buckets=((5.0, answered - slow), (50.0, answered - slow), (250.0, answered)),
    )


def router(boot="a", *, old=None, new=None):
    found = {"old": old or cluster(), "new": new or cluster()}
    return RouterCounters(boot, NOW, found)


def counted(*readings, limits=ERRORS, arms=ARMS):
    """Return the last interval of several readings of all routers."""
    cursors, interval = (), None
    for reading in readings:
        interval, cursors = analysis.read(cursors, reading, arms, limits)
    return interval


def test_the_first_reading_only_marks_where_counting_begins():
    interval = counted([router(new=cluster(500, errors=100))])

    assert interval.canary == {"errors": NOTHING}


def test_an_interval_is_what_came_since():
    before = router(old=cluster(1000, errors=10), new=cluster(50, errors=1))
    after = router(old=cluster(1900, errors=19), new=cluster(150, errors=4))

    interval = counted([before], [after])

    assert interval.stable["errors"] == Tally(900, 9)
    assert interval.canary["errors"] == Tally(100, 3)


def test_routers_add_up():
    before = [router("a"), router("b")]
    after = [router("a", new=cluster(30, errors=1)), router("b", new=cluster(12, errors=2))]

    assert counted(before, after).canary["errors"] == Tally(42, 3)


def test_a_restarted_router_counts_from_its_new_beginning():
    before = router("a", new=cluster(500, errors=50))
    restarted = router("b", new=cluster(10))
    later = router("b", new=cluster(40, errors=2))

    assert counted([before], [restarted]).canary["errors"] == NOTHING
    assert counted([before], [restarted], [later]).canary["errors"] == Tally(30, 2)


def test_a_silent_router_is_counted_when_it_answers_again():
    before = [router("a"), router("b", new=cluster(10))]
    without = [router("a", new=cluster(5))]
    again = [router("a", new=cluster(6)), router("b", new=cluster(110, errors=7))]

    assert counted(before, without, again).canary["errors"] == Tally(101, 7)


def test_a_request_that_the_client_gave_up_on_is_bad():
    before = router(new=cluster(10))
    gave_up = router(new=cluster(20, lost=5))

    assert counted([before], [gave_up], [gave_up]).canary["errors"] == Tally(5, 5)


def test_a_request_that_only_seems_lost_for_a_moment_is_not():
    before = router(new=cluster(10))
    torn = router(new=cluster(19, lost=1))
    settled = router(new=cluster(20))

    assert counted([before], [torn], [settled]).canary["errors"] == Tally(1, 0)


def test_requests_under_way_are_not_lost():
    before = router(new=cluster(10))
    busy = router(new=cluster(10, active=8))

    assert counted([before], [busy], [busy]).canary["errors"] == NOTHING


def test_copies_that_were_never_sent_are_not_errors():
    before = router(new=cluster(10))
    refused = router(new=cluster(20, overflow=300))
    mirrored = Arms("old", "new", is_mirrored=True)

    assert counted([before], [refused], arms=mirrored).canary["errors"] == Tally(10, 0)


def with_calls(before=0, **new):
    """Return a router that also counted calls over gRPC; stable's are as many as were before."""
    calls = {"old_grpc": cluster(before), "new_grpc": cluster(**new)}
    found = router()
    return RouterCounters(found.boot, found.at, {**found.clusters, **calls})


def test_calls_over_grpc_are_evidence_too():
    interval = counted([with_calls(100)], [with_calls(160, answered=40, errors=3)])

    assert interval.stable["errors"] == Tally(60, 0)
    assert interval.canary["errors"] == Tally(40, 3)


def test_calls_over_grpc_are_timed_too():
    slow = with_calls(answered=40, slow=6)

    assert counted([with_calls()], [slow], limits=BOTH).canary["latency-50ms"] == Tally(40, 6)


def test_a_call_that_its_client_gave_up_on_is_bad():
    gave_up = with_calls(answered=20, lost=5)

    assert counted([with_calls()], [gave_up], [gave_up]).canary["errors"] == Tally(5, 5)


def test_copies_are_compared_with_what_may_be_copied():
    mirrored = Arms("old", "new", is_mirrored=True)

    interval = counted([with_calls(100)], [with_calls(160)], arms=mirrored)

    assert interval.stable["errors"] == NOTHING


def test_a_live_request_that_was_refused_is_an_error():
    before = router(new=cluster(10))
    refused = router(new=cluster(20, overflow=300))

    assert counted([before], [refused]).canary["errors"] == Tally(310, 300)


def test_slow_is_what_lies_above_the_threshold():
    before = router(old=cluster(100, slow=1), new=cluster(10))
    after = router(old=cluster(300, slow=3), new=cluster(60, slow=9))

    interval = counted([before], [after], limits=BOTH)

    assert interval.canary["latency-50ms"] == Tally(50, 9)
    assert interval.stable["latency-50ms"] == Tally(200, 2)
    assert interval.canary["errors"] == Tally(50, 0)


def test_whoever_gave_up_waited_too_long():
    before = router(new=cluster(10))
    gave_up = router(new=cluster(10, lost=4))

    assert counted([before], [gave_up], [gave_up], limits=BOTH).canary["latency-50ms"] == Tally(
        4, 4
    )


def test_a_cold_start_says_nothing_about_latency():
    before = router(new=cluster(10))
    cold = router(new=cluster(60, slow=50, errors=3))

    interval = analysis.without_latency(counted([before], [cold], limits=BOTH), BOTH)

    assert interval.canary == {"errors": Tally(50, 3), "latency-50ms": NOTHING}


def judged(limits, canary, stable=NOTHING, needed=20):
    names = [check.name for check in limits.effective_checks]
    interval = Interval(dict.fromkeys(names, canary), dict.fromkeys(names, stable))
    return analysis.judge(analysis.fresh(limits), interval, limits, needed)


@pytest.mark.parametrize(
    ("canary", "stable", "expected"),
    [
        pytest.param(NOTHING, Tally(9000), Finding.INSUFFICIENT_DATA, id="silence-is-not-success"),
        pytest.param(Tally(19), Tally(900), Finding.INSUFFICIENT_DATA, id="too-few"),
        pytest.param(Tally(100), Tally(900), Finding.UNDECIDED, id="enough-but-not-clear"),
        pytest.param(Tally(500), Tally(4500), Finding.PASSING, id="flawless"),
        pytest.param(Tally(500, 50), Tally(4500, 45), Finding.FAILING, id="ten-times-worse"),
        pytest.param(Tally(2000, 200), Tally(18000, 1800), Finding.PASSING, id="as-bad-as-stable"),
        pytest.param(Tally(15, 8), Tally(900, 0), Finding.FAILING, id="harm-needs-no-minimum"),
    ],
)
def test_findings(canary, stable, expected):
    assert judged(ERRORS, canary, stable)[0].decision is expected


def test_what_has_passed_stays_so_until_it_harms():
    passed = judged(ERRORS, Tally(500), Tally(4500))
    dull = Interval({"errors": Tally(100, 2)}, {"errors": Tally(900, 18)})
    bad = Interval({"errors": Tally(100, 40)}, {"errors": Tally(900, 9)})

    still = analysis.judge(passed, dull, ERRORS, 20)
    fallen = analysis.judge(still, bad, ERRORS, 20)

    assert still[0].decision is Finding.PASSING
    assert fallen[0].decision is Finding.FAILING


def test_several_checks_share_the_false_alarm_rate():
    assert BOTH.check_alpha == pytest.approx(0.025)
    assert judged(ERRORS, Tally(400), Tally(3600))[0].decision is Finding.PASSING
    assert judged(BOTH, Tally(400), Tally(3600))[0].decision is Finding.UNDECIDED


def test_a_new_step_keeps_the_evidence_of_harm_and_nothing_else():
    before = judged(ERRORS, Tally(200, 4), Tally(1800, 10))

    after = analysis.fresh(ERRORS, before)

    assert after[0].log_harm == before[0].log_harm
    assert (after[0].n_canary, after[0].log_ratio, after[0].e_pass) == (0, 0, "1")
    assert after[0].decision is Finding.INSUFFICIENT_DATA


def test_a_gross_failure_is_seen_in_the_last_interval_too():
    long_good = judged(ERRORS, Tally(100_000), Tally(900_000))
    now_broken = Interval({"errors": Tally(50, 50)}, {"errors": Tally(450, 0)})

    assert analysis.gross_failure(long_good, now_broken) == Tally(50, 50)


def test_the_trace_is_bounded_and_keeps_the_newest():
    status = judged(ERRORS, Tally(100), Tally(900))
    trace = ()
    for look in range(500):
        trace = analysis.traced(trace, status, 0, NOW + timedelta(seconds=look))

    assert len(trace) <= MAX_TRACE
    assert trace[-1].at == NOW + timedelta(seconds=499)
    assert trace[0].at == NOW
