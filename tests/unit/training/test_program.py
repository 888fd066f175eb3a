"""The program as the pod starts it: exit codes, signals, command line."""

import multiprocessing
import os

import pytest

from modelyard_core.runs import ExitCode, Gates, MetricGate, Pipeline
from modelyard_training.__main__ import main
from modelyard_training.settings import read_settings
from support import training_runs as runs


@pytest.fixture
def workshop(tmp_path):
    return runs.a_workshop(tmp_path, runs.a_table(900))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param({}, ExitCode.DONE, id="blessed"),
        pytest.param({"gates": Gates((MetricGate("f1", min=1.0),))}, ExitCode.DONE, id="rejected"),
        pytest.param({"pipeline": Pipeline("SVC")}, ExitCode.BAD_SPEC, id="bad-spec"),
        pytest.param({"target": "snow"}, ExitCode.BAD_DATA, id="bad-data"),
    ],
)
def test_exit_codes(workshop, changes, code):
    workshop.put(runs.a_request(**changes))

    with pytest.raises(SystemExit) as left:
        main(workshop.arguments())

    assert left.value.code == code


@pytest.mark.slow
def test_a_pod_that_is_told_to_stop_says_so_and_may_be_tried_again(workshop):
    os.mkfifo(workshop.settings.request)
    process = multiprocessing.get_context("forkserver").Process(
        target=main, args=(workshop.arguments(),)
    )
    process.start()
    with workshop.settings.request.open("w"):  # opens when the program is reading its request
        process.terminate()
        process.join()

    assert process.exitcode == ExitCode.TRANSIENT
    assert workshop.report().error.code == "Terminated"


def test_without_a_request_the_run_may_be_tried_again(workshop):
    with pytest.raises(SystemExit) as left:
        main(workshop.arguments())

    assert left.value.code == ExitCode.TRANSIENT


def test_the_defaults_are_the_mounts_of_the_job():
    settings = read_settings([])

    assert str(settings.request) == "/modelyard/in/run.json"
    assert str(settings.data) == "/modelyard/data"
    assert str(settings.store) == "/modelyard/store"
    assert str(settings.termination_log) == "/dev/termination-log"
    assert settings.attempt
