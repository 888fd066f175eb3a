import asyncio
import itertools

import kopf
import pytest

from modelyard_operator import handlers, naming
from modelyard_operator.__main__ import KINDS
from modelyard_operator.api import resources
from modelyard_operator.kind import Key
from modelyard_operator.telemetry import Telemetry
from modelyard_operator.work_queue import WorkQueue
from support.loop import VirtualTime

TRAINING = Key("ModelTraining", "shop", "rain")
VERSION = Key("ModelVersion", "shop", "rain-v1")
DEPLOYMENT = Key("ModelDeployment", "shop", "web")
MONITOR = Key("DriftMonitor", "shop", "drift")

OBJECTS = {
    TRAINING: {"spec": {}},
    VERSION: {"spec": {"training": "rain", "version": 1}},
    DEPLOYMENT: {"spec": {"model": {"training": "rain"}}},
    MONITOR: {"spec": {"deployment": "web", "retrain": {"training": "rain"}}},
}


def an_object(key, **changes):
    metadata = {"name": key.name, "namespace": key.namespace}
    return {"kind": key.kind, "metadata": metadata} | OBJECTS[key] | changes


class Seen:
    """Wake-ups over a queue, after every object has been seen once."""

    def __init__(self):
        self.queue = WorkQueue(VirtualTime(), Telemetry())
        self.wakeups = handlers.Wakeups(KINDS, self.queue)
        for key in OBJECTS:
            self.wakeups.saw(an_object(key), deleted=False)

    async def woken(self):
        keys = set()
        while True:
            try:
                async with asyncio.timeout(0):
                    key = await self.queue.get()
            except TimeoutError:
                return keys
            keys.add(key)
            self.queue.done(key)


@pytest.fixture
def seen():
    return Seen()


@pytest.mark.parametrize(
    ("changed", "woken"),
    [
        pytest.param(
            VERSION,
            {VERSION, TRAINING, DEPLOYMENT},
            id="a-version-wakes-its-training-and-who-follows-it",
        ),
        pytest.param(MONITOR, {MONITOR, TRAINING}, id="a-monitor-wakes-the-training-it-may-ask"),
        pytest.param(DEPLOYMENT, {DEPLOYMENT, MONITOR}, id="a-deployment-wakes-its-monitor"),
    ],
)
async def test_who_must_look_when_an_object_changes(seen, changed, woken):
    await seen.woken()

    seen.wakeups.saw(an_object(changed), deleted=False)

    assert woken <= await seen.woken()


async def test_a_reader_that_was_deleted_is_not_woken(seen):
    seen.wakeups.saw(an_object(MONITOR), deleted=True)
    await seen.woken()

    seen.wakeups.saw(an_object(DEPLOYMENT), deleted=False)

    assert MONITOR not in await seen.woken()


async def test_a_reader_that_reads_another_now_is_not_woken(seen):
    elsewhere = {"deployment": "other", "retrain": {"training": "other"}}
    seen.wakeups.saw(an_object(MONITOR, spec=elsewhere), deleted=False)
    await seen.woken()

    seen.wakeups.saw(an_object(DEPLOYMENT), deleted=False)

    assert MONITOR not in await seen.woken()


def a_child(owner=None, **labels):
    metadata = {"name": "x", "namespace": "shop", "labels": labels}
    return {"kind": "Job", "metadata": metadata | ({"ownerReferences": [owner]} if owner else {})}


def an_owner(api_version=resources.MODEL_TRAINING.api_version, kind="ModelTraining", **changes):
    return {"apiVersion": api_version, "kind": kind, "name": "rain", "controller": True} | changes


@pytest.mark.parametrize(
    ("child", "owner"),
    [
        pytest.param(a_child(an_owner()), TRAINING, id="by-its-controller"),
        pytest.param(
            a_child(**{naming.TRAINING_LABEL: "rain"}), TRAINING, id="by-its-label"
        ),
        pytest.param(
            a_child(an_owner("apps/v1", "ReplicaSet"), **{naming.DEPLOYMENT_LABEL: "web"}),
            DEPLOYMENT,
            id="a-pod-by-the-label-of-its-template",
        ),
        pytest.param(a_child(an_owner(controller=False)), None, id="owned-but-not-controlled"),
        pytest.param(a_child(), None, id="nobody"),
    ],
)  # fmt: skip
def test_the_owner_of_a_child(child, owner):
    assert handlers.owner_of(child) == owner


async def test_a_child_wakes_its_owner(seen):
    await seen.woken()

    seen.wakeups.saw_child(a_child(an_owner()))

    assert await seen.woken() == {TRAINING}


def test_the_informer_neither_gives_up_nor_writes():
    settings = handlers.informer_settings([resources.JOB])

    assert list(itertools.islice(settings.networking.error_backoffs, 8)) == [
        *(1, 2, 4, 8, 15),
        *(30, 30, 30),
    ]
    assert not settings.posting.enabled
    assert settings.peering.standalone
    assert settings.scanning.disabled
    assert settings.persistence.finalizer != kopf.OperatorSettings().persistence.finalizer


def test_settings_of_watches_are_sent_as_whole_seconds():
    watching = handlers.informer_settings([]).watching

    assert all(
        isinstance(value, int)
        for value in (watching.server_timeout, watching.client_timeout, watching.connect_timeout)
    )


def test_kopf_keeps_no_state_on_any_object():
    registry = kopf.OperatorRegistry()
    queue = WorkQueue(VirtualTime(), Telemetry())
    handlers.register(registry, KINDS, handlers.Wakeups(KINDS, queue), lambda: None)

    assert registry._watching.get_all_handlers()
    assert not registry._changing.get_all_handlers()
    assert not registry._spawning.get_all_handlers()
    assert not registry._indexing.get_all_handlers()
    assert not registry._webhooks.get_all_handlers()
