"""The program killed at every point: what is there is whole, and the next attempt goes on."""

import pytest

from support import killing, scoring

WRITES = [
    "open .part-00000.parquet._run.json",
    "os.rename .part-00000.parquet._run.json",
    "os.rename .part-00000.parquet",
    "os.rename .part-00001.parquet",
    "os.rename .part-00002.parquet",
    "os.rename .part-00003.parquet",
    "open .part-00000.parquet._manifest.json",
    "os.rename .part-00000.parquet._manifest.json",
]


def content(rain):
    return repr(rain.table().to_pylist()), rain.manifest()["parts"]


@pytest.fixture
def undisturbed(rain):
    """Return what a run makes that nobody kills."""
    assert rain.run("--out", str(rain.folder / "undisturbed")) == 0
    return content(scoring.Scoring(rain.folder, rain.bundle, rain.input, name="undisturbed"))


@pytest.mark.slow
@pytest.mark.parametrize("at", range(len(WRITES)))
def test_a_run_killed_before_any_write_is_finished_by_the_next(rain, undisturbed, at):
    killed = killing.run_killed(rain.command(), rain.output, at, killing.SCORING)

    assert killed == -9
    assert not (rain.output / "_manifest.json").exists()
    there = len(rain.parts())
    assert there == min(max(at - 2, 0), 4)
    assert rain.run() == 0
    assert rain.said()["found_parts"] == there
    assert content(rain) == undisturbed


@pytest.mark.slow
def test_attempts_that_all_die_after_a_part_still_come_to_an_end(rain, undisturbed):
    killing.run_killed(rain.command(), rain.output, 3, killing.SCORING)
    for part in range(1, 4):
        assert len(rain.parts()) == part
        killing.run_killed(rain.command(), rain.output, 1, killing.SCORING)

    assert rain.run() == 0

    assert rain.said()["found_parts"] == 4
    assert content(rain) == undisturbed


@pytest.mark.slow
def test_these_are_all_its_writes(rain, tmp_path):
    notes = killing.writes_of(rain.command(), rain.output, tmp_path / "notes", killing.SCORING)

    assert len(notes) == len(WRITES)
    assert all(note.startswith(write) for note, write in zip(notes, WRITES, strict=True)), notes
