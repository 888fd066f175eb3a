"""From requests to the monitor's buckets: what was answered is counted once, whoever dies when."""

import asyncio
import random
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from modelyard_core import codec
from modelyard_core.reference import FourierProfile
from modelyard_core.sketch import Sketch
from modelyard_monitor import clock, grid, ledger
from modelyard_monitor.database import Database
from modelyard_monitor.layout import Layout
from modelyard_monitor.metrics import Metrics
from modelyard_monitor.service import Monitor
from support import bundles, drift, onnx_models, serving

pytestmark = pytest.mark.slow

PROFILE = replace(
    onnx_models.RAIN_PROFILE,
    numeric=tuple(replace(each, mean=0.0, scale=1.0) for each in onnx_models.RAIN_PROFILE.numeric),
    fourier=FourierProfile(("temp", "wind"), 1, 1.5, 1, (0,) * 64, (1.0, 1.0, 1.0)),
)
LAYOUT = Layout.of(PROFILE)
CLIENTS = 12
MSGPACK = {"accept": "application/vnd.msgpack"}


class World:
    """A monitor that watches one address, and the truth about what was answered there."""

    def __init__(self, folder, bundle):
        self.bundle = bundle
        self.dice = random.Random(11)
        self.monitor = Monitor(Database(folder / "monitor.sqlite"), Metrics())
        watch = drift.a_watch(reference_digest=bundle.digest, windows_seconds=(3_600,))
        self.monitor.put("demo", "rain", watch, clock.now() - 60)
        self.monitor.put_profile(bundle.digest, PROFILE)
        self.boots = set()

    def ingest(self, answer):
        assert answer.headers["content-type"] == MSGPACK["accept"]
        sketch = codec.decode(Sketch, msgspec.msgpack.decode(answer.content))
        self.boots.add(sketch.boot)
        identity = self.monitor.watches()[0].id
        self.monitor.ingest(identity, sketch, clock.now())
        return sketch

    @property
    def counted(self):
        """The sum of all buckets of what was answered."""
        with self.monitor.database.reading() as connection:
            standing = self.monitor.watches()[0]
            starts = ledger.bucket_starts(connection, standing, 0)
            spans = [grid.Span(start, start + standing.bucket) for start in starts]
            sums = [ledger.total(connection, standing, LAYOUT, span) for span in spans]
        return np.sum(sums, axis=0) if sums else LAYOUT.zero()


class Life:
    """One process under load, and what it answered."""

    def __init__(self, world, http):
        self.world = world
        self.http = http
        self.requests = 0
        self.rows = 0

    async def client(self, requests):
        dice = self.world.dice
        for _ in range(requests):
            count = dice.choice([1, 1, 1, 2, 7])
            role = dice.choice(["stable", "canary", "stable"])
            body = {"inputs": serving.rows([dice.gauss(0, 1) for _ in range(count)])}
            answer = await self.http.post(
                serving.INFER, json=body, headers={"x-modelyard-role": role}
            )
            assert answer.status_code == 200
            if role == "stable":
                self.requests += 1
                self.rows += count

    async def load(self, requests):
        await asyncio.gather(*(self.client(requests) for _ in range(CLIENTS)))

    async def scrape(self):
        return self.world.ingest(await self.http.get("/v1/sketch", headers=MSGPACK))


async def until_it_answers(http):
    async with asyncio.timeout(serving.PATIENCE_SECONDS):
        while (await http.get("/v2/health/ready")).status_code != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def live(world, program, *, killed_under_load):
    """Let one process live; return the rows and the requests of it that must be counted."""
    async with program.client() as http:
        await until_it_answers(http)
        life = Life(world, http)
        loading = asyncio.create_task(life.load(12))
        while not loading.done():
            last = await life.scrape()
            if killed_under_load and last.roles and last.roles["stable"].rows > 40:
                break
            await asyncio.sleep(0)
        if killed_under_load:
            program.process.kill()
            await asyncio.gather(loading, return_exceptions=True)
            seen = last.roles["stable"]
            assert seen.rows <= life.rows + CLIENTS * 7
            return seen.rows, seen.requests
        await loading
        last = await life.scrape()
        await life.scrape()
        program.process.kill()
        assert sum(each.requests for each in last.roles.values()) == CLIENTS * 12
        assert all(sum(each.prediction.bins) == each.rows for each in last.roles.values())
        return life.rows, life.requests


async def test_the_buckets_equal_the_answers_whoever_dies_when(tmp_path):
    bundle = bundles.write(tmp_path / "model", profile=PROFILE)
    world = World(tmp_path, bundle)
    expected = np.zeros(2, dtype=int)

    for killed_under_load in (False, True, False):
        with serving.program(bundle) as program:
            expected += await live(world, program, killed_under_load=killed_under_load)

        assert world.counted[:2].tolist() == expected.tolist()

    assert len(world.boots) == 3
    world.monitor.database.close()
