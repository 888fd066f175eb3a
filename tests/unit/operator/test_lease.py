import copy

import pytest

from modelyard_operator.lease import Lease
from modelyard_operator.ports import ApiError
from support.loop import VirtualTime


class Leases:
    """One lease with optimistic locking."""

    def __init__(self):
        self.live = None
        self.revision = 0
        self.down = False

    async def get(self, resource, namespace, name):
        self._answer()
        return copy.deepcopy(self.live)

    async def create(self, obj):
        self._answer()
        if self.live is not None:
            raise ApiError(409, "AlreadyExists", "exists")
        return self._store(obj)

    async def replace(self, obj):
        self._answer()
        if obj["metadata"].get("resourceVersion") != str(self.revision):
            raise ApiError(409, "Conflict", "moved on")
        return self._store(obj)

    def _store(self, obj):
        self.revision += 1
        self.live = copy.deepcopy(obj)
        self.live["metadata"]["resourceVersion"] = str(self.revision)
        return self.live

    def _answer(self):
        if self.down:
            raise ApiError(0, "NoAnswer", "down")


@pytest.fixture
def time():
    return VirtualTime()


@pytest.fixture
def leases():
    return Leases()


@pytest.fixture
def replica(time, leases):
    def make(identity, ahead=0.0):
        return Lease(
            leases,
            time,
            lambda: time.time() + ahead,
            namespace="yard",
            name="modelyard-operator",
            identity=identity,
        )

    return make


async def test_the_first_replica_leads(replica, leases):
    one = replica("one")

    assert await one.attempt()
    assert one.is_held()
    assert leases.live["spec"]["holderIdentity"] == "one"


async def test_a_second_replica_waits_while_the_first_renews(replica, time):
    one, two = replica("one"), replica("two")
    for _ in range(30):
        await one.attempt()
        assert not await two.attempt()
        time.pass_by(2)


async def test_a_silent_leader_is_replaced_when_its_lease_has_run_out(replica, time):
    one, two = replica("one"), replica("two")
    await one.attempt()
    await two.attempt()
    time.pass_by(14.9)
    early = await two.attempt()
    time.pass_by(0.1)

    assert (early, await two.attempt()) == (False, True)


async def test_a_leader_stops_before_it_can_be_replaced(replica, time):
    one, two = replica("one"), replica("two")
    await one.attempt()
    await two.attempt()
    time.pass_by(10.1)

    assert not one.is_held()
    assert not await two.attempt()


async def test_expiry_is_judged_from_when_the_record_was_seen_to_change(replica, time):
    one = replica("one")
    await one.attempt()
    time.pass_by(3600)
    newcomer = replica("newcomer")

    assert not await newcomer.attempt()


async def test_clocks_that_differ_by_hours_do_no_harm(replica, time):
    one, two = replica("one"), replica("two", ahead=7200)
    for _ in range(10):
        assert await one.attempt()
        assert not await two.attempt()
        time.pass_by(2)


async def test_a_released_lease_is_taken_at_once(replica):
    one, two = replica("one"), replica("two")
    await one.attempt()
    await two.attempt()

    await one.release()

    assert not one.is_held()
    assert await two.attempt()


async def test_release_leaves_the_lease_of_another_alone(replica, leases, time):
    one, two = replica("one"), replica("two")
    await one.attempt()
    await two.attempt()
    time.pass_by(15)
    await two.attempt()

    await one.release()

    assert leases.live["spec"]["holderIdentity"] == "two"


async def test_only_one_of_two_that_try_at_once_leads(replica, leases, time):
    one, two = replica("one"), replica("two")
    await one.attempt()
    await one.release()
    seen = await leases.get(None, "yard", "modelyard-operator")
    await two.attempt()

    with pytest.raises(ApiError, match="moved on"):
        await leases.replace(seen)


async def test_changing_hands_is_counted(replica, leases):
    one, two = replica("one"), replica("two")
    await one.attempt()
    await one.release()
    await two.attempt()

    assert leases.live["spec"]["leaseTransitions"] == 1


async def test_a_restarted_leader_recognises_its_own_lease(replica, time):
    await replica("one").attempt()

    assert await replica("one").attempt()


async def test_a_failed_release_does_not_stop_the_end_of_the_process(replica, leases):
    one = replica("one")
    await one.attempt()
    leases.down = True

    await one.release()

    assert not one.is_held()
