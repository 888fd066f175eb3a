"""The real program, killed at random points of a replay: the totals stay exact."""

import asyncio
import json
import multiprocessing
import random
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import numpy as np
import pytest

from modelyard_core import codec
from modelyard_monitor import clock, grid, ledger
from modelyard_monitor.__main__ import serve
from modelyard_monitor.database import Database
from modelyard_monitor.layout import Layout
from modelyard_monitor.settings import Settings
from modelyard_monitor.watches import find
from support import drift
from support.ports import free_port
from support.sketch_server import SketchServer

pytestmark = pytest.mark.slow

PROFILE = drift.a_profile()
KILLS = 3
PATIENCE = 120


def run_monitor(settings):
    asyncio.run(serve(settings))


@pytest.fixture(scope="module")
def processes():
    """Processes that have the imports of the program behind them already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["modelyard_monitor.__main__"])
    return context


@contextmanager
def a_monitor(processes, settings):
    process = processes.Process(target=run_monitor, args=(settings,), daemon=True)
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def put(port, watch):
    """Put the watch as soon as the monitor answers, as the operator does."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/watches/demo/rain",
        data=codec.dumps(watch).encode(),
        method="PUT",
    )
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return json.load(answer)
        except (urllib.error.URLError, ConnectionError):
            assert time.monotonic() < deadline, "the monitor does not answer"
            time.sleep(0.02)


def test_a_monitor_killed_at_any_moment_counts_every_row_once(tmp_path, processes):
    dice = random.Random(5)
    rows = np.random.default_rng(5)
    port = free_port()
    settings = Settings(data=tmp_path, host="127.0.0.1", port=port, scrape_seconds=0.001)
    with SketchServer() as server:
        target = drift.Target("rain-1", "localhost", server.port)
        watch = drift.a_watch(targets=(target,), windows_seconds=(3_600,))
        pod = drift.Pod("boot-1", clock.now() + 3_600)  # younger than any watch

        serving = threading.Lock()

        def one_more_request():
            with serving:
                pod.serve(drift.a_batch(PROFILE, 3, rows))
                return pod.sketch(clock.now())

        server.serve_profile(PROFILE)
        server.serve_sketch(one_more_request)
        for _ in range(KILLS):
            with a_monitor(processes, settings):
                put(port, watch)
                asked = len(server.asked) + dice.randrange(1, 8)
                wait_for(lambda asked=asked: len(server.asked) >= asked)
        with serving:
            final = pod.sketch(clock.now())
        server.serve_sketch(lambda: final)
        with a_monitor(processes, settings):
            expected = final.roles[drift.Role.STABLE].rows
            wait_for(lambda: put(port, watch)["rowsTotal"] >= expected)

    assert final.roles[drift.Role.STABLE].rows >= 3 * KILLS
    assert stored(tmp_path).tolist() == Layout.of(PROFILE).vector(final.roles["stable"]).tolist()


def wait_for(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "the monitor did not get so far"
        time.sleep(0.002)


def stored(folder):
    """Return the sum of all buckets."""
    database = Database(folder / "monitor.sqlite")
    layout = Layout.of(PROFILE)
    with database.reading() as connection:
        standing = find(connection, "demo", "rain")
        starts = ledger.bucket_starts(connection, standing, 0)
        spans = [grid.Span(standing.bucket, start + standing.bucket) for start in starts]
        sums = [ledger.total(connection, standing, layout, span) for span in spans]
    database.close()
    return np.sum(sums, axis=0)
