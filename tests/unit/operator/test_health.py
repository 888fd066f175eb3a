import pytest

from modelyard_operator.health import CannotListen, Endpoints, Health
from modelyard_operator.kind import Key
from modelyard_operator.telemetry import Telemetry
from modelyard_operator.work_queue import WorkQueue
from support.loop import VirtualTime

RAIN = Key("ModelTraining", "shop", "rain")


class Lease:
    age = None


class Process:
    def __init__(self):
        self.time = VirtualTime()
        self.queue = WorkQueue(self.time, Telemetry())
        self.lease = Lease()
        self.health = Health(self.queue, self.lease, self.time.time)

    def after(self, seconds, *, beating=True):
        self.time.pass_by(seconds)
        if beating:
            self.health._beat_at = self.time.time()
        return self.health.complaint()


@pytest.fixture
def process():
    return Process()


def test_a_standby_is_alive_for_ever(process):
    assert process.after(99_999) is None


def test_a_loop_that_stands_still_is_not_alive(process):
    assert process.after(10, beating=False) == "the event loop lags by 9 s"


def test_a_leader_that_does_not_renew_is_not_alive(process):
    process.lease.age = 16.0

    assert process.after(1) == "the lease was renewed 16 s ago"


def test_a_key_that_nobody_takes_is_a_complaint(process):
    process.lease.age = 1.0
    process.queue.add(RAIN)

    assert process.after(301) == "a key has waited for 301 s"


def test_workers_that_never_finish_are_a_complaint(process):
    process.lease.age = 1.0
    process.queue.add_after(RAIN, 99_999)

    assert process.after(1300) == "no pass has ended for 1300 s"


def test_a_leader_with_nothing_to_do_is_alive(process):
    process.lease.age = 1.0

    assert process.after(99_999) is None


async def test_a_port_that_is_taken_is_one_sentence(process):
    async with Endpoints(process.health, Telemetry(), health_port=0, metrics_port=0) as first:
        taken = first.addresses[0][1]
        second = Endpoints(process.health, Telemetry(), health_port=0, metrics_port=taken)

        with pytest.raises(CannotListen, match=f"cannot listen on port {taken}: "):
            await second.__aenter__()
