"""What is learned from runs and from requests: how long they take, and how many there were."""

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard_core.roles import Role
from modelyard_serving.model import direct_run
from modelyard_serving.pace import ASKED, SHORT_SECONDS, Pace
from modelyard_serving.request_counts import BUCKETS, RequestCounts
from support import onnx_models


def test_nothing_is_slow_before_anything_has_run():
    assert Pace().expected(10**9) == 0


def test_a_run_is_expected_to_take_what_runs_of_its_size_took():
    pace = Pace()
    pace.observe(1, 0.001)
    pace.observe(64, 0.004)

    assert pace.expected(1) == 0.001
    assert pace.expected(16) == 0.016
    assert pace.expected(64) == pace.expected(100) == 0.004
    assert pace.expected(128) == 0.008


def test_a_smaller_run_is_expected_to_take_no_longer_than_the_least_that_is_known():
    pace = Pace()
    pace.observe(64, 0.004)

    assert pace.expected(1) == 0.004


def test_one_slow_run_among_fast_ones_is_soon_forgotten():
    pace = Pace()
    pace.observe(1, 1.0)
    for _ in range(12):
        pace.observe(1, 0.0001)

    assert pace.expected(1) < 0.0005
    pace.observe(1, 1.0)
    assert pace.expected(1) < 0.2


def test_a_size_that_was_slow_is_dared_again_when_half_of_it_is_fast():
    pace = Pace()
    pace.observe(64, 0.1)
    assert pace.expected(64) == 0.1
    pace.observe(32, 0.001)

    assert pace.expected(64) == pytest.approx(0.002)
    for _ in range(8):  # and once it is, its own runs tell
        pace.observe(64, 0.0015)
    assert pace.expected(64) == pytest.approx(0.0015, rel=0.5)
    assert pace.expected(128) == pytest.approx(2 * pace.expected(64))


def test_a_size_that_is_slow_stays_so_though_half_of_it_is_not_so_slow():
    pace = Pace()
    for _ in range(20):
        pace.observe(32, 0.06)
        pace.observe(64, 0.1)

    assert pace.expected(64) == pytest.approx(0.1)
    assert pace.expected(32) == pytest.approx(0.06)


SIZES = [1 << power for power in range(10, -1, -1)]


@pytest.mark.parametrize("slow_sizes", [SIZES, SIZES[:1], SIZES[:4], SIZES[-3:]])
@pytest.mark.parametrize(
    ("each_row", "alone", "together"),
    [(1e-6, 256, 1024), (1e-5, 64, 256), (1e-4, 8, 32), (3e-3, 0, 1), (6e-3, 0, 0)],
    ids=str,
)
def test_after_a_slow_time_runs_are_soon_as_large_as_they_may_be_and_no_larger(
    slow_sizes, each_row, alone, together
):
    pace = Pace()
    for size in slow_sizes * 3:
        pace.observe(size, 0.5)
    for _ in range(100):
        for most in (pace.rows_in_time, pace.rows_together):
            size = most or 1  # one row can always be run elsewhere
            pace.observe(size, 1e-5 + each_row * size)

    assert (pace.rows_in_time, pace.rows_together) == (alone, together)


def test_short_runs_are_timed_now_and_then_whatever_the_order_of_their_sizes():
    pace = Pace()
    assert not pace.is_short(1)  # nothing is known yet
    pace.observe(1, SHORT_SECONDS / 2)
    pace.observe(64, SHORT_SECONDS)

    assert (pace.is_short(1), pace.is_short(64)) == (True, False)
    for period in (2, 3, 4, 8):
        due = [pace.is_due() for _ in range(period * ASKED)]
        assert all(any(due[size::period]) for size in range(period))
        assert sum(due) == period


def test_a_size_that_took_long_once_is_timed_again():
    pace = Pace()
    pace.observe(1, SHORT_SECONDS / 2)

    pace.forget(1)

    assert not pace.is_short(1)
    pace.observe(1, 0.5)
    assert pace.is_slow(1)


@given(
    st.lists(st.tuples(st.integers(1, 300), st.floats(1e-6, 1.0)), min_size=1, max_size=20),
    st.integers(1, 300),
)
def test_no_size_is_expected_to_take_longer_than_twice_what_half_of_it_took(seen, rows):
    pace = Pace()
    for size, seconds in seen:
        pace.observe(size, seconds)
    halves = [seconds for size, seconds in seen if size.bit_length() == rows.bit_length()]

    assert pace.expected(rows) > 0
    if halves:
        assert pace.expected(rows) <= max(halves) * 1.001
        assert pace.expected(2 * rows) <= 2 * max(halves) * 1.001


class Session:
    """A session of a release that has no private run."""

    def run(self, outputs, feeds, options=None):
        return [outputs, feeds, options]


def test_the_run_behind_the_public_one_is_used_while_there_is_one():
    session = onnxruntime.InferenceSession(onnx_models.echo("FP32", (-1,)))
    x = {"x": np.array([1, 2], np.float32)}
    run = direct_run(session)

    assert run != session.run
    assert run(["y"], x, None)[0].tolist() == session.run(["y"], x)[0].tolist()
    assert direct_run(Session())(["y"], x, None) == [["y"], x, None]


def test_requests_that_end_together_are_counted_as_if_each_had_ended_alone():
    together, alone = RequestCounts(), RequestCounts()
    starts = [0.0, 0.4, 0.9, 0.9995, 0.99999]
    together.answered_together(Role.STABLE, starts, 1.0, rows=7)
    for start in starts:
        alone.answered(Role.STABLE, 200, 1.0 - start)

    one, other = together.roles[Role.STABLE], alone.roles[Role.STABLE]
    assert one.cells == other.cells
    assert one.answered == other.answered == {200: 5}
    assert abs(one.seconds[200] - other.seconds[200]) < 1e-9
    assert one.rows == 7


def test_a_duration_is_counted_up_to_the_end_of_its_cell():
    counts = RequestCounts()
    for seconds in (BUCKETS[0], BUCKETS[-1], BUCKETS[-1] * 2):
        counts.answered(Role.DIRECT, 500, seconds)

    cells = counts.roles[Role.DIRECT].cells
    assert (cells[0], cells[len(BUCKETS) - 1], cells[len(BUCKETS)]) == (1, 1, 1)
