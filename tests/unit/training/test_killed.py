"""Killed at any moment and started again, a run leaves one bundle and gives one answer."""

import signal
import threading

import pytest

from modelyard_core.runs import ExitCode, Verdict
from support import killing
from support import training_runs as runs

pytestmark = pytest.mark.slow

REQUEST = runs.a_request(features=runs.FEATURES[:2])


def a_small_workshop(root):
    return runs.a_workshop(root, runs.a_table(900))


@pytest.fixture(scope="module")
def writes(tmp_path_factory):
    """What an undisturbed run writes, in order: into the store, and its report."""
    root = tmp_path_factory.mktemp("undisturbed")
    workshop = a_small_workshop(root / "w")
    workshop.put(REQUEST)
    return killing.writes_of(workshop.arguments(), workshop.settings.store, root / "notes")


def test_every_step_of_the_commit_is_a_write_of_its_own(writes):
    moves = [line for line in writes if line.startswith(("os.rename rain/att", "os.link"))]

    assert ".manifest.json." in moves[-4]
    assert "os.rename rain/attempts/rain-00000001-abcde" in moves[-3]
    assert moves[-2].startswith("os.link rain/contents/")
    assert moves[-1].startswith("os.rename rain/attempts/sha256-")


@pytest.mark.parametrize("back", range(9))
def test_killed_before_a_write_and_started_again(tmp_path, writes, back):
    workshop = a_small_workshop(tmp_path / "w")
    workshop.put(REQUEST)
    store = workshop.settings.store

    killed = killing.run_killed(workshop.arguments(), store, len(writes) - 1 - back)
    code, report = workshop.run(REQUEST)

    assert killed == -signal.SIGKILL
    assert code is ExitCode.DONE
    assert (report.verdict, report.already_trained) == (Verdict.BLESSED, False)
    assert [folder.name for folder in workshop.versions()] == [report.digest.replace(":", "-")]
    assert not list((store / "rain" / "attempts").glob("sha256-*"))
    assert workshop.run(REQUEST) == (code, report)


def test_killed_twice_and_started_again(tmp_path, writes):
    workshop = a_small_workshop(tmp_path / "w")
    workshop.put(REQUEST)
    store = workshop.settings.store

    assert killing.run_killed(workshop.arguments(), store, len(writes) - 6) == -signal.SIGKILL
    assert killing.run_killed(workshop.arguments(), store, 6) == -signal.SIGKILL
    _, report = workshop.run(REQUEST)

    assert len(workshop.versions()) == 1
    assert report.verdict is Verdict.BLESSED


def test_two_attempts_at_once_agree_on_one_bundle(tmp_path):
    workshop = a_small_workshop(tmp_path / "w")
    workshop.put(REQUEST)
    codes = []

    def attempt(name):
        arguments = [*workshop.arguments(), "--attempt", name]
        codes.append(killing.run_killed(arguments, workshop.settings.store, -1))

    threads = [threading.Thread(target=attempt, args=(f"pod-{i}",)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert codes == [0, 0]
    assert len(workshop.versions()) == 1
    assert workshop.left_over() == []
