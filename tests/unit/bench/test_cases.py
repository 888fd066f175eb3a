"""The order of the rounds, and what becomes of a server that cannot be measured."""

import json
import subprocess
import sys
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from bench.serving import cases, rounds
from bench.serving.load import Job
from bench.serving.options import Options
from bench.serving.report import Row
from bench.serving.rounds import Pair, Reading, Together, UnderLoad
from hack.terminal import Failure


@dataclass
class Recorded:
    """A cell that writes down when it was measured."""

    name: str
    order: list[str]
    rates: list[float] = field(default_factory=lambda: [1.0, 2.0, 3.0])

    def measure(self, seconds):
        del seconds
        self.order.append(self.name)
        return Reading(self.rates.pop(0))


def test_rounds_begin_with_the_other_side_in_turn():
    order, done = [], []

    pair = rounds.in_turn(
        Recorded("ours", order), Recorded("theirs", order), 3, 1.0, lambda: done.append(len(order))
    )

    assert order == ["ours", "theirs", "theirs", "ours", "ours", "theirs"]
    assert done == [2, 4, 6]
    assert [reading.per_second for reading in pair.ours] == [1.0, 2.0, 3.0]


def test_a_pair_compares_round_by_round():
    pair = Pair(
        [Reading(100, processor_micros=10), Reading(10, processor_micros=11)],
        [Reading(50, processor_micros=20), Reading(5, processor_micros=22)],
    )

    rate = cases.faster("json", "a peer", pair, 2.0)
    time = cases.spent("json", "a peer", pair, 0.55)

    assert (rate.ours, rate.theirs, rate.ratio, rate.met) == (55, 27.5, 2.0, True)
    assert (time.ratio, time.met) == (0.5, True)


class Recording:
    """A server of which only pauses are seen, and a generator whose run says what it is told to."""

    port = 1

    def __init__(self, code):
        self.code = code
        self.seen = []
        self.run = None

    def resume(self):
        self.seen.append("resume")

    def pause(self):
        self.seen.append("pause")

    def start(self, job, port, seconds):
        del job, port, seconds
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        self.run = subprocess.Popen([sys.executable, "-c", self.code], **pipes)
        return self.run


def says(requests):
    latency = {"p50": 1.0, "p99": 2.0, "max": 10.0 * requests}
    told = {"requests": requests, "total": requests, "seconds": 2.0, "unfinished": 0, "busy": 0.5}
    return f"print({json.dumps({**told, 'errors': {}, 'answers': [], 'latency': latency})!r})"


def together(*sides):
    return Together([UnderLoad(side, Job(None, [], 1), side) for side in sides])


def test_what_servers_do_at_the_same_time_is_added_up():
    sides = Recording(says(10)), Recording(says(30))

    reading = together(*sides).measure(2.0)

    assert (reading.per_second, reading.slowest_micros) == (20.0, 300.0)
    assert [side.seen for side in sides] == [["resume", "pause"]] * 2


def test_where_one_of_them_fails_all_are_ended_and_paused():
    sides = Recording("exit('broken')"), Recording("import signal; signal.pause()")

    with pytest.raises(Failure, match="broken"):
        together(*sides).measure(2.0)

    assert [side.run.returncode for side in sides] == [1, -9]
    assert [side.seen for side in sides] == [["resume", "pause"]] * 2


@pytest.mark.parametrize(("busy", "noted"), [(0.5, False), (0.99, True)])
def test_a_full_generator_is_told(busy, noted):
    pair = Pair([Reading(100, busy=busy)], [Reading(50, busy=0.1)])

    row = cases.faster("json", "a peer", pair, None)

    assert ("load generator" in row.note) is noted


def test_a_server_that_cannot_be_measured_is_a_row_and_the_others_go_on():
    def measure(name):
        if name == "kserve":
            raise Failure("it cannot be installed")
        yield Row("json", name, "requests/s", 2.0, 1.0, 2.0)

    session = SimpleNamespace(options=Options(only=("kserve", "bentoml")))
    rows = list(cases.against(session, cases.PEERS, "json", measure))

    assert [row.against for row in rows] == ["KServe SDK", "bentoml"]
    assert [row.is_missing for row in rows] == [True, False]
    assert rows[0].note == "not measured: it cannot be installed"
