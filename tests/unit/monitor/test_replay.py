"""Weeks of traffic in virtual time: pods come, crash and are scaled, scrapes fail, we restart.

What the windows hold is compared with a count that is kept apart, row by row.
"""

import numpy as np
import pytest

from modelyard_core.roles import Role
from modelyard_monitor import closing, grid, ledger
from modelyard_monitor.database import Database
from modelyard_monitor.layout import Layout
from modelyard_monitor.metrics import Metrics
from modelyard_monitor.service import Monitor
from support import drift

PROFILE = drift.without_categories(drift.a_profile(features=1, bins=4))
LAYOUT = Layout.of(PROFILE)
STEP = 10.0


class Replay:
    """A cluster and a monitor, and the truth about them."""

    def __init__(self, folder, seed, **watch):
        self.random = np.random.default_rng(seed)
        self.path = folder / "monitor.sqlite"
        self.now = drift.NOON
        self.pods = []
        self.boots = 0
        self.unread = {}
        self.truth = {}
        self.lost = LAYOUT.zero()
        self.open()
        self.monitor.put("demo", "rain", drift.a_watch(**watch), self.now)
        self.monitor.put_profile(drift.DIGEST, PROFILE)
        self.batches = [
            drift.a_batch(PROFILE, int(n), self.random) for n in self.random.integers(1, 9, 20)
        ]

    def open(self):
        self.database = Database(self.path)
        self.monitor = Monitor(self.database, Metrics())

    def restart_monitor(self):
        self.database.close()
        self.open()

    @property
    def standing(self):
        return self.monitor.watches()[0]

    def start_pod(self):
        self.boots += 1
        pod = drift.Pod(f"boot-{self.boots}", self.now)
        self.pods.append(pod)
        self.unread[pod.boot] = LAYOUT.zero()

    def stop_pod(self):
        """Crash: what was not read is lost, and only that."""
        pod = self.pods.pop(int(self.random.integers(len(self.pods))))
        self.lost += self.unread.pop(pod.boot)

    def serve(self):
        for pod in self.pods:
            batch = self.batches[int(self.random.integers(len(self.batches)))]
            role = [Role.STABLE, Role.DIRECT, Role.CANARY][int(self.random.integers(3))]
            pod.serve(batch, role)
            if role is not Role.CANARY:
                self.unread[pod.boot] += LAYOUT.vector(batch)

    def scrape(self, missed=0.05):
        for pod in self.pods:
            if self.random.random() < missed:
                continue
            for _ in range(1 + int(self.random.integers(2))):
                self.monitor.ingest(self.standing.id, pod.sketch(self.now), self.now)
            start = grid.floor(self.now, 60)
            self.truth[start] = self.truth.get(start, LAYOUT.zero()) + self.unread[pod.boot]
            self.unread[pod.boot] = LAYOUT.zero()

    def buckets(self):
        with self.database.reading() as connection:
            standing = self.standing
            return {
                start: ledger.total(connection, standing, LAYOUT, grid.Span(60, start + 60))
                for start in ledger.bucket_starts(connection, standing, 0)
            }

    def windows(self):
        with self.database.reading() as connection:
            found = connection.execute("SELECT end, finding FROM windows ORDER BY end")
            return [(row["end"], row["finding"]) for row in found]


@pytest.mark.parametrize("seed", [1, 2])
def test_every_row_is_counted_once_whatever_restarts(tmp_path, seed):
    replay = Replay(tmp_path, seed, windows_seconds=(60, 3_600))
    replay.start_pod()
    served = 0

    for _ in range(220):
        replay.now += STEP
        replay.serve()
        event = replay.random.random()
        if event < 0.06 and len(replay.pods) < 4:
            replay.start_pod()
        elif event < 0.10 and len(replay.pods) > 1:
            replay.stop_pod()
        elif event < 0.14:
            replay.restart_monitor()
        replay.scrape()
    replay.scrape(missed=0.0)

    counted = replay.buckets()
    expected = {start: total for start, total in replay.truth.items() if total.any()}
    assert counted.keys() == expected.keys()
    assert all((counted[start] == expected[start]).all() for start in expected)
    served = sum(total[0] for total in expected.values())
    assert replay.standing.rows == served
    assert replay.lost[0] > 0
    assert served > 900


def test_a_restart_closes_the_windows_that_ended_meanwhile_once(tmp_path):
    replay = Replay(tmp_path, 4, min_rows=1)
    replay.start_pod()
    for _ in range(30):
        replay.now += STEP
        replay.serve()
        replay.scrape(missed=0.0)
        if replay.now == drift.NOON + 150:
            replay.restart_monitor()
        if replay.now % 60 == 20:
            replay.monitor.close_windows(replay.standing.id, replay.now)
    replay.monitor.close_windows(replay.standing.id, replay.now)
    replay.monitor.close_windows(replay.standing.id, replay.now)

    ends = [end for end, _ in replay.windows()]
    assert ends == [int(drift.NOON) + 60 * i for i in range(1, 6)]


def test_windows_that_end_while_the_monitor_is_away_are_judged_when_it_is_back(tmp_path):
    replay = Replay(tmp_path, 5, min_rows=1)
    replay.start_pod()
    replay.now += 30
    replay.serve()
    replay.scrape(missed=0.0)
    replay.restart_monitor()
    replay.now += 600
    replay.serve()
    replay.scrape(missed=0.0)

    judged = replay.monitor.close_windows(replay.standing.id, replay.now)

    rows = [judgement.finding.rows for judgement in judged]
    # 12:00 has rows; 12:01 to 12:09 were silent, which is told once.
    assert len(rows) == 2
    assert rows[0] > 0
    assert rows[1] == 0


def test_a_night_of_silence_costs_one_window(tmp_path):
    replay = Replay(tmp_path, 6, windows_seconds=(60, 3_600))

    first = replay.monitor.close_windows(replay.standing.id, replay.now + 8 * 3_600)
    again = replay.monitor.close_windows(replay.standing.id, replay.now + 8 * 3_600 + 30)

    assert [judgement.finding.seconds for judgement in first] == [60, 3_600]
    assert again == ()


def test_a_count_that_goes_down_is_left_out(tmp_path):
    replay = Replay(tmp_path, 7)
    replay.start_pod()
    pod = replay.pods[0]
    pod.serve(replay.batches[0])
    replay.now += STEP
    identity = replay.standing.id
    replay.monitor.ingest(identity, pod.sketch(replay.now), replay.now)
    before = replay.standing.rows

    smaller = drift.Pod(pod.boot, pod.started)
    smaller.serve(drift.a_batch(PROFILE, 0, replay.random))
    entry = replay.monitor.ingest(identity, smaller.sketch(replay.now), replay.now)

    assert entry.outcome is ledger.Outcome.WENT_DOWN
    assert replay.standing.rows == before
    vanished = drift.Pod(pod.boot, pod.started)
    entry = replay.monitor.ingest(identity, vanished.sketch(replay.now), replay.now)
    assert entry.outcome is ledger.Outcome.WENT_DOWN


def test_a_pod_that_is_older_than_the_watch_is_counted_from_now(tmp_path):
    replay = Replay(tmp_path, 8)
    old = drift.Pod("old", replay.now - 86_400)
    old.serve(replay.batches[0])
    replay.now += STEP

    first = replay.monitor.ingest(replay.standing.id, old.sketch(replay.now), replay.now)
    old.serve(replay.batches[1])
    second = replay.monitor.ingest(replay.standing.id, old.sketch(replay.now), replay.now)

    assert (first.outcome, first.rows) == (ledger.Outcome.BASELINE, 0)
    assert (second.outcome, second.rows) == (ledger.Outcome.COUNTED, replay.batches[1].rows)


def test_an_idle_pod_that_was_seen_is_counted_from_its_first_row(tmp_path):
    replay = Replay(tmp_path, 8)
    old = drift.Pod("old", replay.now - 86_400)
    replay.monitor.ingest(replay.standing.id, old.sketch(replay.now), replay.now)
    old.serve(replay.batches[0])

    entry = replay.monitor.ingest(replay.standing.id, old.sketch(replay.now + 1), replay.now + 1)

    assert (entry.outcome, entry.rows) == (ledger.Outcome.COUNTED, replay.batches[0].rows)


def test_a_pod_with_a_wrong_clock_is_not_taken_for_an_old_one(tmp_path):
    replay = Replay(tmp_path, 9)
    replay.start_pod()
    replay.now += STEP
    replay.serve()
    wrong = replay.pods[0].sketch(replay.now)
    hours = drift.moment(replay.now - 7_200)
    wrong = type(wrong)(
        boot=wrong.boot,
        at=hours,
        model=wrong.model,
        version=wrong.version,
        digest=wrong.digest,
        roles=wrong.roles,
        started=drift.moment(replay.now - 7_200 - STEP),
    )

    entry = replay.monitor.ingest(replay.standing.id, wrong, replay.now)

    assert entry.outcome is ledger.Outcome.COUNTED


def test_a_clock_that_steps_back_does_not_reopen_a_window(tmp_path):
    replay = Replay(tmp_path, 10, min_rows=1)
    replay.start_pod()
    replay.now += 65
    replay.serve()
    replay.scrape(missed=0.0)
    replay.monitor.close_windows(replay.standing.id, replay.now)
    replay.serve()
    pod = replay.pods[0]
    replay.monitor.ingest(replay.standing.id, pod.sketch(replay.now), replay.now - 60)

    assert set(replay.buckets()) == {int(drift.NOON) + 60}


def test_what_is_kept_is_bounded(tmp_path):
    replay = Replay(tmp_path, 11, windows_seconds=(60, 300))
    for _ in range(240):
        replay.now += 60
        pod = drift.Pod(f"boot-{replay.now}", replay.now)
        pod.serve(replay.batches[0])
        replay.monitor.ingest(replay.standing.id, pod.sketch(replay.now), replay.now)
    while replay.monitor.close_windows(replay.standing.id, replay.now):
        pass

    def count(table):
        with replay.database.reading() as connection:
            return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]

    assert count("windows") == closing.KEPT_WINDOWS + 48
    assert count("buckets") <= 6
    assert count("boots") == 240
    replay.now += ledger.FORGET_BOOTS_AFTER + 4 * 3_600
    replay.monitor.close_windows(replay.standing.id, replay.now)
    assert count("boots") == 0
    assert count("buckets") == 0
    late = drift.Pod(f"boot-{drift.NOON + 60}", drift.NOON + 60)
    late.serve(replay.batches[0])
    entry = replay.monitor.ingest(replay.standing.id, late.sketch(replay.now), replay.now)
    assert entry.outcome is ledger.Outcome.BASELINE
