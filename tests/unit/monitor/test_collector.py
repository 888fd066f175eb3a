"""Reading pods over real sockets."""

import asyncio
import json
import sqlite3

import aiohttp
import msgspec
import numpy as np
import pytest

from modelyard_core import codec
from modelyard_monitor.collector import Collector, http_fetch, resolve
from modelyard_monitor.database import Database
from modelyard_monitor.metrics import Metrics
from modelyard_monitor.service import Monitor
from modelyard_monitor.settings import Settings, read_settings
from support import drift
from support.sketch_server import SketchServer

PROFILE = drift.a_profile()
PATIENCE = 120.0
SETTINGS = Settings(scrape_timeout_seconds=PATIENCE)


class World:
    """A monitor, its collector, and the names that it can resolve."""

    def __init__(self, folder, session, limit=8 << 20):
        self.now = drift.NOON
        self.monitor = Monitor(Database(folder / "monitor.sqlite"), Metrics())
        self.names = {}
        self.collector = Collector(
            self.monitor, SETTINGS, http_fetch(session, limit), self.resolve, lambda: self.now
        )
        self.random = np.random.default_rng(1)

    async def resolve(self, host, port):
        del port
        if host not in self.names:
            raise OSError(f"{host} is not known")
        return tuple(self.names[host])

    def watch(self, *servers):
        targets = tuple(
            drift.Target("rain-1", f"pod{i}.test", s.port) for i, s in enumerate(servers)
        )
        for target in targets:
            self.names[target.host] = ["127.0.0.1"]
        self.monitor.put("demo", "rain", drift.a_watch(targets=targets), self.now)

    @property
    def standing(self):
        return self.monitor.watches()[0]

    async def round(self, seconds=10.0, settle=True):
        self.now += seconds
        await self.collector.round(self.standing)
        if settle:
            await self.collector.settle(self.standing)
        return self.monitor.report("demo", "rain", self.now)

    def a_pod(self, server, boot="boot-1", digest=drift.DIGEST):
        pod = drift.Pod(boot, self.now, digest)
        server.serve_sketch(lambda: pod.sketch(self.now))
        server.serve_profile(PROFILE)
        return pod

    def batch(self, rows=20):
        return drift.a_batch(PROFILE, rows, self.random)


@pytest.fixture
async def world(tmp_path):
    async with aiohttp.ClientSession() as session:
        made = World(tmp_path, session)
        yield made
        await made.collector.stop()
        made.monitor.database.close()


async def test_rows_of_all_pods_are_counted_and_the_profile_is_read_once(world):
    with SketchServer() as one, SketchServer() as other:
        world.watch(one, other)
        pods = [world.a_pod(one, "boot-1"), world.a_pod(other, "boot-2")]
        for _ in range(3):
            for pod in pods:
                pod.serve(world.batch())
            report = await world.round()

        assert (report.rows_total, report.pods, report.pods_failed) == (120, 2, 0)
        assert report.error == ""
        assert (one.asked + other.asked).count("/v1/profile") <= 2
        assert one.asked[-1] == "/v1/sketch"


async def test_a_slow_pod_delays_no_other(world):
    with SketchServer() as slow, SketchServer() as quick:
        world.watch(slow, quick)
        world.a_pod(slow, "boot-slow")
        pod = world.a_pod(quick, "boot-quick")
        pod.serve(world.batch())
        slow.pause.clear()

        await world.round(settle=False)
        await until(lambda: slow.asked and world.standing.rows == 20)
        pod.serve(world.batch())
        async with asyncio.timeout(PATIENCE):
            while world.standing.rows < 40:  # a scrape may end a moment after its rows are stored
                await world.round(settle=False)

        assert slow.asked == ["/v1/sketch"]
        slow.pause.set()
        assert (await world.round()).pods == 2


async def until(happened):
    async with asyncio.timeout(PATIENCE):
        while not happened():  # noqa: ASYNC110 - it comes from a real socket
            await asyncio.sleep(0.01)


async def test_a_pod_that_does_not_answer_is_told(world):
    with SketchServer() as server:
        world.watch(server)

        report = await world.round()

        assert (report.pods, report.pods_failed) == (0, 1)
        assert report.error == "no pod of pod0.test gave a sketch: /v1/sketch answered 404"
        world.a_pod(server)
        assert (await world.round()).error == ""


async def test_a_name_without_addresses_is_told(world):
    with SketchServer() as server:
        world.watch(server)
        world.names.clear()

        report = await world.round()

    assert report.error == "pod0.test has no address: pod0.test is not known"


async def test_pods_of_another_version_are_told(world):
    with SketchServer() as server:
        world.watch(server)
        world.a_pod(server, digest=drift.OTHER_DIGEST).serve(world.batch())

        report = await world.round()

        assert report.rows_total == 0
        assert report.error == "the pods of pod0.test serve another version than the reference"
        assert "/v1/profile" not in server.asked


async def test_a_pod_is_asked_for_messagepack_and_may_answer_with_json(world):
    with SketchServer() as packed, SketchServer() as plain:
        world.watch(packed, plain)
        pods = [world.a_pod(packed, "boot-1"), world.a_pod(plain, "boot-2")]
        packed.serve_packed(lambda: pods[0].sketch(world.now))
        for pod in pods:
            pod.serve(world.batch())

        report = await world.round()

    assert packed.accepted == plain.accepted == "application/vnd.msgpack, application/json;q=0.5"
    assert (report.rows_total, report.pods) == (40, 2)


def a_sketch_with(**counts):
    """Return the document of a sketch in which something is not what a pod would write."""
    pod = drift.Pod("boot-1", drift.NOON)
    pod.serve(drift.a_batch(PROFILE, 5, np.random.default_rng(1)))
    document = codec.encode(pod.sketch(drift.NOON))
    document["roles"]["stable"] |= counts
    return document


@pytest.mark.parametrize(
    ("body", "is_packed"),
    [
        pytest.param(b"{", False, id="cut"),
        pytest.param(b"[]", False, id="list"),
        pytest.param(b'{"boot": 1}', False, id="shape"),
        pytest.param(b"[" * 100_000, False, id="deep"),
        pytest.param(json.dumps(a_sketch_with(rows=10**30)).encode(), False, id="enormous"),
        pytest.param(b"\xc1", True, id="packed-never-used-byte"),
        pytest.param(msgspec.msgpack.encode(a_sketch_with())[:-1], True, id="packed-cut"),
        pytest.param(b"\x91" * 100_000 + b"\xc0", True, id="packed-deep"),
        pytest.param(msgspec.msgpack.encode(a_sketch_with(rows=1.5)), True, id="packed-fraction"),
        pytest.param(
            msgspec.msgpack.encode(a_sketch_with(rows=2**64 - 1)), True, id="packed-enormous"
        ),
        pytest.param(
            msgspec.msgpack.encode(a_sketch_with(features={1: {"bins": []}})),
            True,
            id="packed-number-for-a-name",
        ),
        pytest.param(json.dumps(a_sketch_with()).encode(), True, id="not-what-its-type-says"),
    ],
)
async def test_an_answer_of_another_shape_is_refused(world, body, is_packed):
    with SketchServer() as server:
        world.watch(server)
        world.a_pod(server)
        server.answers["/v1/sketch"] = body
        if is_packed:
            server.types["/v1/sketch"] = "application/vnd.msgpack"

        report = await world.round()

        assert report.pods_failed == 1
        assert "gave a sketch" in report.error
        assert report.rows_total == 0


async def test_an_answer_that_is_too_large_is_refused(tmp_path):
    async with aiohttp.ClientSession() as session:
        small = World(tmp_path, session, limit=100)
        with SketchServer() as server:
            small.watch(server)
            small.a_pod(server)
            report = await small.round()
        small.monitor.database.close()

    assert "larger than 100 bytes" in report.error


async def test_a_leaving_pod_is_read_once_it_has_left_the_names(world):
    with SketchServer() as server:
        world.watch(server)
        pod = world.a_pod(server)
        pod.serve(world.batch())
        await world.round()
        pod.serve(world.batch())
        world.names["pod0.test"] = []

        report = await world.round()
        assert report.rows_total == 40
        asked = len(server.asked)
        await world.round(SETTINGS.linger_seconds + 1)
        await world.round()

        assert len(server.asked) <= asked + 1


async def test_a_new_reference_is_read_from_its_own_pods(world):
    with SketchServer() as before, SketchServer() as after:
        world.watch(before)
        world.a_pod(before).serve(world.batch())
        await world.round()
        targets = (drift.Target("rain-2", "pod9.test", after.port),)
        world.names["pod9.test"] = ["127.0.0.1"]
        promoted = drift.a_watch(targets=targets, reference_digest=drift.OTHER_DIGEST)
        world.monitor.put("demo", "rain", promoted, world.now)
        world.now += 1
        pod = world.a_pod(after, "boot-new", drift.OTHER_DIGEST)
        pod.serve(world.batch(30))

        report = await world.round()

        assert (report.rows_total, report.pods, report.error) == (30, 1, "")


async def test_the_loop_reads_closes_and_stops(world):
    with SketchServer() as server:
        world.watch(server)
        pod = world.a_pod(server)
        pod.serve(world.batch())
        running = asyncio.create_task(world.collector.run())

        await until(lambda: world.standing.rows == 20)
        world.monitor.delete("demo", "rain")
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    assert running.cancelled()


async def test_names_are_resolved_by_the_system():
    assert "127.0.0.1" in await resolve("localhost", 8080)
    with pytest.raises(OSError, match=r".+"):
        await resolve("nobody.invalid", 8080)


def test_settings_come_from_the_environment():
    found = read_settings({"MODELYARD_MONITOR_PORT": "9", "MODELYARD_MONITOR_DATA": "/tmp/x"})

    assert (found.port, str(found.data)) == (9, "/tmp/x")
    with pytest.raises(ValueError, match="MODELYARD_MONITOR_PORT='x' is not of type int"):
        read_settings({"MODELYARD_MONITOR_PORT": "x"})


async def test_rows_that_cannot_be_stored_are_counted_later(world):
    with SketchServer() as server:
        world.watch(server)
        world.a_pod(server).serve(world.batch())
        with world.monitor.database.reading() as connection:
            connection.execute("PRAGMA query_only=ON")
        with pytest.raises(sqlite3.OperationalError):
            await world.round()
        await world.collector.settle(world.standing)
        report = world.monitor.report("demo", "rain", world.now)
        with world.monitor.database.reading() as connection:
            connection.execute("PRAGMA query_only=OFF")

        assert report.rows_total == 0
        assert "attempt to write a readonly database" in report.error
        assert (await world.round()).rows_total == 20
