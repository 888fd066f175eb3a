import asyncio
import itertools

import pytest

from modelyard_operator.kind import Key
from modelyard_operator.telemetry import Telemetry
from modelyard_operator.work_queue import LONGEST_BACKOFF, WorkQueue
from support.loop import VirtualTime

RAIN = Key("ModelTraining", "shop", "rain")
SNOW = Key("ModelTraining", "shop", "snow")


@pytest.fixture
def time():
    return VirtualTime()


@pytest.fixture
def telemetry():
    return Telemetry()


@pytest.fixture
def queue(time, telemetry):
    return WorkQueue(time, telemetry)


async def drain(queue):
    taken = []
    while True:
        try:
            async with asyncio.timeout(0):
                taken.append(await queue.get())
        except TimeoutError:
            return taken


async def test_a_key_that_is_added_often_is_handed_out_once(queue):
    for _ in range(100):
        queue.add(RAIN)

    assert await drain(queue) == [RAIN]


async def test_a_key_that_is_touched_while_busy_waits_for_its_worker(queue):
    queue.add(RAIN)
    await queue.get()
    queue.add(RAIN)

    assert await drain(queue) == []


async def test_a_key_that_was_touched_while_busy_runs_again_when_done(queue):
    queue.add(RAIN)
    await queue.get()
    queue.add(RAIN)

    queue.done(RAIN)

    assert await drain(queue) == [RAIN]


async def test_a_key_that_was_left_alone_does_not_run_again(queue):
    queue.add(RAIN)
    queue.done(await queue.get())

    assert await drain(queue) == []


async def test_keys_come_out_in_the_order_they_went_in(queue):
    queue.add(SNOW)
    queue.add(RAIN)
    queue.add(SNOW)

    assert await drain(queue) == [SNOW, RAIN]


async def test_a_wake_up_comes_at_its_time_and_not_before(queue, time):
    queue.add_after(RAIN, 10)
    time.pass_by(9.9)
    early = await drain(queue)
    time.pass_by(0.1)

    assert (early, await drain(queue)) == ([], [RAIN])


@pytest.mark.parametrize("waits", [(10, 600), (600, 10)], ids=["early-first", "late-first"])
async def test_the_earliest_of_several_wake_ups_wins(queue, time, waits):
    for wait in waits:
        queue.add_after(RAIN, wait)
    time.pass_by(10)
    soon = await drain(queue)
    queue.done(RAIN)
    time.pass_by(1000)

    assert (soon, await drain(queue)) == ([RAIN], [])


def test_backoff_doubles_with_every_failure_up_to_its_limit(queue):
    delays = [queue.retry(RAIN) for _ in range(20)]

    assert 0.04 <= delays[0] <= 0.06
    assert all(later > earlier for earlier, later in itertools.pairwise(delays[:11]))
    assert all(LONGEST_BACKOFF * 0.8 <= delay <= LONGEST_BACKOFF * 1.2 for delay in delays[13:])


def test_success_ends_the_backoff(queue):
    for _ in range(8):
        queue.retry(RAIN)
    queue.succeed(RAIN)

    assert queue.retry(RAIN) < 0.07


def test_backoff_is_per_key(queue):
    for _ in range(8):
        queue.retry(RAIN)

    assert queue.retry(SNOW) < 0.07


def test_a_server_that_asks_to_wait_is_obeyed(queue):
    assert 7 <= queue.retry(RAIN, at_least=7) <= 9


async def test_a_dropped_key_has_no_wake_up_left(queue, time):
    queue.add_after(RAIN, 10)
    queue.drop(RAIN)
    time.pass_by(100)

    assert await drain(queue) == []
    assert queue.known() == 0


async def test_the_longest_wait_is_known(queue, time):
    queue.add(RAIN)
    time.pass_by(40)
    queue.add(SNOW)

    assert queue.oldest_wait() == pytest.approx(40)


async def test_depth_counts_what_waits_for_a_worker(queue, telemetry):
    queue.add(RAIN)
    queue.add(SNOW)
    await queue.get()
    queue.add(RAIN)

    depth = telemetry.registry.get_sample_value("workqueue_depth", {"name": "ModelTraining"})
    assert depth == 1
