"""What is learned from runs and from requests: how long they take, and how many there were."""

import numpy as np
import onnxruntime

from modelyard_core.roles import Role
from modelyard_serving.model import direct_run
from modelyard_serving.pace import Pace
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
