"""Watches in, reports out, over a real database."""

from dataclasses import replace

import numpy as np
import pytest

from modelyard_core.errors import Rejected, ShapeError
from modelyard_core.watch import EpisodeState, RetrainRule, WindowState
from modelyard_monitor.database import SCHEMA_VERSION, Database
from modelyard_monitor.metrics import Metrics
from modelyard_monitor.service import Contact, Monitor, decode_profile
from support import drift

PROFILE = drift.a_profile(features=2)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "monitor.sqlite"


@pytest.fixture
def monitor(path):
    service = Monitor(Database(path), Metrics(), max_watches=3)
    service.put("demo", "rain", drift.a_watch(), drift.NOON)
    service.put_profile(drift.DIGEST, PROFILE)
    yield service
    service.database.close()


class Traffic:
    """Minutes of requests for one watch."""

    def __init__(self, monitor, digest=drift.DIGEST, start=drift.NOON, seed=1):
        self.monitor = monitor
        self.random = np.random.default_rng(seed)
        self.pod = drift.Pod(f"boot-{digest[7:9]}-{start}", start, digest)
        self.now = start

    def minute(self, shift=0.0, rows=400, columns=None):
        """Serve one minute and return the report after it."""
        self.pod.serve(drift.a_batch(PROFILE, rows, self.random, shift, columns))
        (standing,) = [each for each in self.monitor.watches() if each.name == "rain"]
        self.monitor.ingest(standing.id, self.pod.sketch(self.now + 30), self.now + 30)
        self.now += 60
        self.monitor.close_windows(standing.id, self.now + 5)
        return self.monitor.report("demo", "rain", self.now + 5)


def test_the_whole_course_of_a_drift(monitor):
    traffic = Traffic(monitor)

    calm = [traffic.minute() for _ in range(5)]
    suspect = traffic.minute(shift=1.0)
    drifting = [traffic.minute(shift=1.0) for _ in range(3)]
    over = [traffic.minute() for _ in range(3)]

    assert all(report.episode is None for report in calm)
    assert calm[-1].windows[0].state is WindowState.CALM
    assert calm[-1].rows_total == 2_000
    assert suspect.episode.state is EpisodeState.SUSPECT
    assert suspect.alarms == 1
    episode = drifting[-1].episode
    assert (episode.number, episode.state) == (1, EpisodeState.DRIFTING)
    assert episode.features == ("x0",)
    assert episode.onset == drift.moment(drift.NOON + 300)
    assert (episode.windows_hit, episode.windows_needed) == (3, 2)
    assert drifting[-1].windows[0].features[0].name == "x0"
    assert [report.episode.state for report in over] == [
        EpisodeState.DRIFTING,
        EpisodeState.DRIFTING,
        EpisodeState.STABLE,
    ]
    assert over[-1].episode.number == 1


def test_bad_data_is_told_and_opens_no_episode(monitor):
    traffic = Traffic(monitor)
    missing = [float("nan")] * 200 + [0.1, -0.5, 0.9, 1.5] * 50

    bad = [traffic.minute(shift=1.0, columns={"x1": missing}) for _ in range(3)]
    good = traffic.minute()

    assert all(report.episode is None for report in bad)
    assert bad[-1].windows[0].state is WindowState.DATA_QUALITY
    assert [(each.feature, each.kind, each.blocking) for each in bad[-1].quality] == [
        ("x1", "Missing", True)
    ]
    assert good.quality == ()


def test_silence_does_not_make_bad_data_good(monitor):
    traffic = Traffic(monitor)
    traffic.minute(columns={"x1": [float("nan")] * 400})

    report = traffic.minute(rows=5)

    assert report.windows[0].state is WindowState.INSUFFICIENT_DATA
    assert report.quality[0].kind == "Missing"


def test_a_restart_changes_nothing_in_the_report(monitor, path):
    traffic = Traffic(monitor)
    for _ in range(3):
        before = traffic.minute(shift=1.0)
    again = Monitor(Database(path), Metrics())

    after = again.report("demo", "rain", traffic.now + 5)

    assert after == before
    again.database.close()


def test_a_new_reference_closes_the_episode_and_starts_new_windows(monitor):
    traffic = Traffic(monitor)
    for _ in range(3):
        traffic.minute(shift=1.0)
    promoted = drift.a_watch(reference_digest=drift.OTHER_DIGEST, reference_version=2)

    report = monitor.put("demo", "rain", promoted, traffic.now)
    monitor.put_profile(drift.OTHER_DIGEST, PROFILE)

    assert (report.episode.number, report.episode.state) == (1, EpisodeState.STABLE)
    assert report.windows == ()
    assert report.rows_total == 0
    assert not monitor.has_profile("sha256:unknown")
    fresh = Traffic(monitor, drift.OTHER_DIGEST, traffic.now)
    for _ in range(2):
        report = fresh.minute(shift=1.0)
    assert (report.episode.number, report.episode.state) == (2, EpisodeState.DRIFTING)


def test_the_pods_of_the_version_before_are_not_counted(monitor):
    traffic = Traffic(monitor)
    traffic.minute()
    promoted = drift.a_watch(reference_digest=drift.OTHER_DIGEST)
    monitor.put("demo", "rain", promoted, traffic.now)
    monitor.put_profile(drift.OTHER_DIGEST, PROFILE)

    assert traffic.minute().rows_total == 0


def test_an_object_of_the_same_name_starts_from_nothing_but_numbers_go_on(monitor):
    traffic = Traffic(monitor)
    for _ in range(3):
        traffic.minute(shift=1.0)

    monitor.put("demo", "rain", drift.a_watch(uid="uid-2", episode_floor=7), traffic.now)
    monitor.put_profile(drift.DIGEST, PROFILE)

    report = monitor.report("demo", "rain", traffic.now)
    assert (report.rows_total, report.windows, report.episode) == (0, (), None)
    fresh = Traffic(monitor, start=traffic.now)
    assert fresh.minute(shift=1.0).episode.number == 8


def test_a_changed_threshold_keeps_what_was_counted(monitor):
    traffic = Traffic(monitor)
    traffic.minute()

    monitor.put("demo", "rain", drift.a_watch(confirm=RetrainRule(1, 1)), traffic.now)
    report = traffic.minute(shift=1.0)

    assert report.rows_total == 800
    assert report.episode.state is EpisodeState.DRIFTING


def test_putting_the_same_watch_again_writes_nothing(monitor):
    with monitor.database.reading() as connection:
        before = connection.total_changes
        monitor.put("demo", "rain", drift.a_watch(), drift.NOON + 500)
        assert connection.total_changes == before


def test_an_idle_pod_costs_no_write(monitor):
    traffic = Traffic(monitor)
    traffic.minute()
    (standing,) = monitor.watches()
    with monitor.database.reading() as connection:
        before = connection.total_changes
        monitor.ingest(standing.id, traffic.pod.sketch(traffic.now), traffic.now)
        assert connection.total_changes == before


def test_canaries_and_shadows_are_kept_apart(monitor):
    traffic = Traffic(monitor)
    random = np.random.default_rng(9)
    for role in (drift.Role.CANARY, drift.Role.SHADOW):
        traffic.pod.serve(drift.a_batch(PROFILE, 300, random, shift=4.0), role)

    (standing,) = monitor.watches()
    monitor.ingest(standing.id, traffic.pod.sketch(traffic.now), traffic.now)
    with monitor.database.reading() as connection:
        roles = connection.execute("SELECT role FROM buckets ORDER BY role").fetchall()

    report = traffic.minute()

    assert [row["role"] for row in roles] == ["canary", "shadow"]
    assert report.rows_total == 400
    assert report.windows[0].state is WindowState.CALM


def test_deleting_forgets_everything(monitor):
    traffic = Traffic(monitor)
    for _ in range(2):
        traffic.minute(shift=1.0)

    assert monitor.delete("demo", "rain")
    assert not monitor.delete("demo", "rain")
    assert monitor.report("demo", "rain", drift.NOON) is None
    with monitor.database.reading() as connection:
        for table in (
            "watches",
            "boots",
            "snapshots",
            "buckets",
            "windows",
            "episodes",
            "profiles",
        ):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] == 0


def test_the_number_of_watches_is_bounded(monitor):
    monitor.put("demo", "b", drift.a_watch(), drift.NOON)
    monitor.put("demo", "c", drift.a_watch(), drift.NOON)

    with pytest.raises(Rejected, match="keeps 3 watches"):
        monitor.put("demo", "d", drift.a_watch(), drift.NOON)
    monitor.put("demo", "c", drift.a_watch(min_rows=7), drift.NOON)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"windows_seconds": ()}, "whole number of minutes"),
        ({"windows_seconds": (30,)}, "whole number of minutes"),
        ({"windows_seconds": (60, 60)}, "windows must grow"),
        ({"windows_seconds": tuple(60 * i for i in range(1, 8))}, "at most 6 windows"),
        ({"windows_seconds": (60, 40 * 86_400)}, "buckets"),
        ({"targets": ()}, "1 to 8 targets"),
        ({"targets": (drift.Target("r", "http://evil/"),)}, "DNS name"),
        ({"targets": (drift.Target("r", "host", 0),)}, "port"),
        ({"budget": 0.0}, "budget"),
        ({"min_rows": 0}, "minRows"),
        ({"feature_effect": 0.0}, "effects"),
        ({"confirm": RetrainRule(3, 2)}, "confirm"),
        ({"exclude": tuple(map(str, range(300)))}, "excluded"),
    ],
)
def test_a_watch_that_cannot_be_kept_is_refused(monitor, changes, sentence):
    with pytest.raises(Rejected, match=sentence):
        monitor.put("demo", "x", drift.a_watch(**changes), drift.NOON)


def test_contact_is_part_of_the_report(monitor):
    (standing,) = monitor.watches()
    monitor.met(standing.id, Contact(drift.NOON, pods=1, failed=2, error="no pod answers"))

    report = monitor.report("demo", "rain", drift.NOON)

    assert (report.pods, report.pods_failed, report.error) == (1, 2, "no pod answers")
    assert report.last_scrape == drift.moment(drift.NOON)


def test_a_profile_that_contradicts_itself_is_refused():
    numeric = replace(PROFILE.numeric[0], counts=(1, 2))

    with pytest.raises(ShapeError, match="one count more than edges"):
        decode_profile(codec_of(replace(PROFILE, numeric=(numeric,))))


def codec_of(profile):
    from modelyard_core import codec

    return codec.encode(profile)


def test_a_database_of_a_later_release_is_left_alone(path):
    database = Database(path)
    with database.transaction() as connection:
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    database.close()

    with pytest.raises(ValueError, match="schema"):
        Database(path)
