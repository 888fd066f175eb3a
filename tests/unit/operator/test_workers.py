from datetime import timedelta

import pytest

from modelyard_core.errors import Unavailable
from modelyard_operator.kind import Key
from modelyard_operator.ports import ApiError
from modelyard_operator.reconcile import Outcome, Result
from modelyard_operator.telemetry import Telemetry
from modelyard_operator.work_queue import WorkQueue
from modelyard_operator.workers import Workers
from support.loop import VirtualTime

RAIN = Key("ModelTraining", "shop", "rain")


class Shell:
    """Ends every pass in one way."""

    def __init__(self, end):
        self.end = end

    async def reconcile(self, _key):
        if isinstance(self.end, Exception):
            raise self.end
        return self.end


class Bench:
    def __init__(self, end):
        self.time = VirtualTime()
        self.telemetry = Telemetry()
        self.queue = WorkQueue(self.time, self.telemetry)
        self.workers = Workers(Shell(end), self.queue, self.telemetry)

    async def run(self, times=1):
        for _ in range(times):
            await self.workers.run(RAIN)
        return self

    def next_look(self):
        """Return after how many seconds the key comes again; None: never."""
        for second in range(1, 7000):
            self.time.pass_by(0.1)
            if self.queue.oldest_wait() or not self.queue._ready.empty():
                return second / 10
        return None

    def count(self, result):
        labels = {"controller": "ModelTraining", "result": result}
        return self.telemetry.registry.get_sample_value("modelyard_reconcile_total", labels)


@pytest.mark.parametrize(
    ("end", "earliest", "latest"),
    [
        pytest.param(Outcome(Result.SUCCESS), 540, 660.1, id="success-looks-at-the-resync"),
        pytest.param(Outcome(Result.INVALID), 540, 660.1, id="invalid-looks-at-the-resync"),
        pytest.param(
            Outcome(Result.SUCCESS, timedelta(seconds=5)), 5, 5.1, id="the-decision-looks-earlier"
        ),
        pytest.param(Outcome(Result.BLOCKED), 30, 40, id="blocked-waits-half-a-minute"),
        pytest.param(ApiError(409, "Conflict", "x"), 0.2, 0.3, id="a-conflict-looks-again-soon"),
        pytest.param(ApiError(503, "X", "down"), 0, 0.2, id="an-error-backs-off"),
        pytest.param(ApiError(429, "X", "slow", retry_after=7), 7, 9, id="a-busy-server-says-when"),
        pytest.param(
            Unavailable("x", timedelta(seconds=20)), 20, 22, id="another-program-says-when"
        ),
        pytest.param(RuntimeError("a bug"), 0, 0.2, id="a-bug-backs-off"),
    ],
)
async def test_when_a_key_comes_again(end, earliest, latest):
    bench = await Bench(end).run()

    assert earliest <= bench.next_look() <= latest


async def test_an_object_that_is_gone_never_comes_again():
    bench = await Bench(Outcome(Result.GONE)).run()

    assert bench.next_look() is None
    assert bench.queue.known() == 0


async def test_a_conflict_is_no_error():
    bench = await Bench(ApiError(409, "Conflict", "moved on")).run(20)

    assert bench.count("conflict") == 20
    assert bench.telemetry.reconcile_errors.labels("ModelTraining")._value.get() == 0
    assert bench.next_look() <= 0.3


async def test_a_poisoned_object_is_retried_ever_more_slowly():
    bench = Bench(RuntimeError("a bug"))
    looks = []
    for _ in range(15):
        await bench.run()
        looks.append(bench.next_look())
        bench.queue.done(await bench.queue.get())

    assert looks[0] < looks[5] < looks[10]
    assert 240 <= looks[-1] <= 360


async def test_every_pass_is_counted_by_its_result():
    bench = await Bench(Outcome(Result.SUCCESS, timedelta(seconds=1))).run(3)

    assert bench.count("requeue_after") == 3
