"""A program that outlives its command is known by more than its pid."""

import dataclasses
import sys
from pathlib import Path

import pytest
from hack.cluster import daemons
from hack.cluster.daemons import Daemon

SLEEPER = (sys.executable, "-c", "import signal; signal.pause()")
STUBBORN = (
    sys.executable,
    "-c",
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); "
    "signal.pause()",
)
STAT = "4711 (a (strange) name) S 1 4711 4711 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2 3"


@pytest.fixture
def started(tmp_path):
    """Start a daemon below a temporary folder, and end it after the test."""
    records = []

    def start(daemon):
        record = daemons.start(daemon, tmp_path / "pids", tmp_path / "logs")
        records.append(record)
        return record

    yield start
    for record in records:
        daemons.stop(record, patience_seconds=0.1)


def test_the_start_time_is_found_behind_a_name_with_parentheses():
    assert daemons.start_ticks(STAT) == 98765


@pytest.mark.parametrize(("state", "ended"), [("S", False), ("R", False), ("Z", True), ("X", True)])
def test_a_process_that_waits_to_be_collected_has_ended(state, ended):
    assert daemons.is_zombie(STAT.replace(") S", f") {state}")) is ended


def test_a_started_daemon_runs_and_is_found_again_by_its_record(started, tmp_path):
    daemon = Daemon("sleeper", SLEEPER)

    record = started(daemon)

    assert daemons.is_running(record)
    assert daemons.running(daemon, tmp_path / "pids") == record


def test_a_stopped_daemon_is_not_running(started):
    record = started(Daemon("sleeper", SLEEPER))

    daemons.stop(record)

    assert not daemons.is_running(record)


def test_a_daemon_that_ignores_the_first_signal_is_ended_by_the_second(started, tmp_path):
    record = started(Daemon("stubborn", STUBBORN))
    log = tmp_path / "logs" / "stubborn.log"
    while "ready" not in log.read_text():
        assert daemons.is_running(record)

    daemons.stop(record, patience_seconds=0.2)

    assert not daemons.is_running(record)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"boot": "an earlier boot"}, id="of another boot"),
        pytest.param({"start_ticks": 1}, id="started at another time"),
        pytest.param({"argv": ("another", "program")}, id="another program"),
    ],
)
def test_somebody_elses_process_with_our_pid_is_neither_taken_for_ours_nor_ended(started, change):
    ours = started(Daemon("sleeper", SLEEPER))
    stale = dataclasses.replace(ours, **change)

    daemons.stop(stale)

    assert not daemons.is_running(stale)
    assert daemons.is_running(ours)


def test_a_process_whose_command_line_changed_is_not_killed(started):
    ours = started(Daemon("sleeper", SLEEPER))

    daemons.kill(ours.pid, ("another", "program"))

    assert daemons.is_running(ours)


def test_changed_configuration_asks_for_a_new_start(started, tmp_path):
    config = tmp_path / "config.yaml"
    started(Daemon("sleeper", SLEEPER, files={config: "a: 1\n"}))

    assert config.read_text() == "a: 1\n"
    assert daemons.running(Daemon("sleeper", SLEEPER, files={config: "a: 2\n"}), tmp_path) is None


@pytest.mark.parametrize("text", ["", "17", "{}", '{"pid": "x"}', "[1]"])
def test_a_damaged_record_counts_as_none(tmp_path, text):
    path = tmp_path / "sleeper"
    path.write_text(text)

    assert daemons.read_record(path) is None


def test_a_missing_record_counts_as_none():
    assert daemons.read_record(Path("/nowhere/sleeper")) is None
