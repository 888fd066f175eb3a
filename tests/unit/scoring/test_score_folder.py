"""The output folder: finished parts are kept, nothing is mixed, nobody else's files are touched."""

import os

import pytest

from support import bundles, onnx_models, scoring


def stamps(rain):
    """Return when each part was written."""
    return {name: (rain.output / name).stat().st_mtime_ns for name in rain.parts()}


def test_a_second_run_changes_nothing(rain):
    rain.run()
    before = stamps(rain), (rain.output / "_manifest.json").stat().st_mtime_ns

    assert rain.run() == 0

    assert (stamps(rain), (rain.output / "_manifest.json").stat().st_mtime_ns) == before
    assert rain.said()["found_parts"] == 4


def test_a_copy_with_another_time_is_the_same_input(rain):
    rain.run()

    rain.input.write_bytes(rain.input.read_bytes())
    os.utime(rain.input, (1, 1))

    assert rain.run() == 0
    assert rain.said()["found_parts"] == 4


@pytest.mark.parametrize("broken", ["missing", "cut short", "empty", "without a mark"])
def test_only_what_is_not_finished_is_scored_again(rain, rain_rows, broken):
    rain.run()
    before = stamps(rain)
    part = rain.output / "part-00001.parquet"
    whole = rain.table()
    if broken == "missing":
        part.unlink()
    elif broken == "without a mark":
        scoring.write(part, whole.slice(300, 10))
    else:
        part.write_bytes(part.read_bytes()[:-100] if broken == "cut short" else b"")
    (rain.output / "_manifest.json").unlink()

    assert rain.run() == 0

    assert rain.said()["found_parts"] == 3
    assert repr(rain.table().to_pylist()) == repr(whole.to_pylist())
    changed = {name for name, stamp in stamps(rain).items() if stamp != before[name]}
    assert changed == {part.name}


def test_a_changed_input_is_scored_again_and_leaves_no_old_part(rain):
    rain.run()
    scoring.write(rain.input, scoring.rain_table(250, seed=1))

    assert rain.run() == 0

    assert rain.said()["found_parts"] == 0
    assert rain.parts() == ["part-00000.parquet"]
    assert rain.table().num_rows == 250


def test_a_run_that_fails_midway_leaves_no_manifest(rain, rain_rows):
    rain.run()
    winds = [*rain_rows["wind"].to_pylist()[:-1], float("inf")]
    scoring.write(rain.input, rain_rows.set_column(2, "wind", [winds]))

    assert rain.run() == 11

    assert not (rain.output / "_manifest.json").exists()
    assert rain.parts()[:3] == [f"part-0000{i}.parquet" for i in range(3)]


def other_model(rain, tmp_path):
    """Return the same run with another bundle."""
    made = bundles.write(tmp_path / "other", more={"note.txt": b"another bundle"})
    return scoring.Scoring(tmp_path, made, rain.input, rain.arguments)


def test_another_model_does_not_mix_its_predictions_in(rain, tmp_path):
    rain.run()
    before = stamps(rain)

    code, reason, sentence = other_model(rain, tmp_path).refused()

    assert (code, reason) == (10, "OutputOfAnotherRun")
    assert "holds predictions of another model" in sentence
    assert "--overwrite" in sentence
    assert stamps(rain) == before


@pytest.mark.parametrize("more", [("--keep", "id"), ("--part-rows", "100")])
def test_other_settings_do_not_mix_either(rain, more):
    rain.run()

    assert rain.refused(*more)[:2] == (10, "OutputOfAnotherRun")


def test_another_input_does_not_replace_predictions_by_accident(rain, tmp_path):
    rain.run()
    rain.input = scoring.write(tmp_path / "others.parquet", scoring.rain_table(10))

    assert "another input" in rain.refused()[2]


def test_overwrite_begins_anew(rain, tmp_path):
    rain.run()
    other = other_model(rain, tmp_path)

    assert other.run("--overwrite", "--part-rows", "1000") == 0

    assert other.parts() == ["part-00000.parquet"]
    assert other.manifest()["model"]["digest"] == other.bundle.digest


@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
def test_a_folder_of_somebody_else_is_left_alone(rain, overwrite):
    rain.output.mkdir()
    (rain.output / "thesis.txt").write_text("years of work")

    code, reason, sentence = rain.refused(*overwrite)

    assert (code, reason) == (10, "OutputNotEmpty")
    assert "'thesis.txt'" in sentence
    assert [path.name for path in rain.output.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
def test_parts_without_a_word_whose_they_are_are_left_alone(rain, overwrite):
    rain.output.mkdir()
    (rain.output / "part-00000.parquet").write_bytes(b"of another program")

    assert rain.refused(*overwrite)[:2] == (10, "OutputNotEmpty")


def test_what_a_dead_attempt_left_is_removed_in_the_end(rain):
    rain.run("--workers", "1")
    left = rain.output / ".part-00002.parquet.another-pod-7"
    left.write_bytes(b"half a part")
    (rain.output / "part-00003.parquet").unlink()
    (rain.output / "_manifest.json").unlink()

    rain.run()

    assert not left.exists()
    own = {"_manifest.json", "_run.json", *rain.parts()}
    assert {path.name for path in rain.output.iterdir()} == own


def test_a_classifier_of_other_columns_is_refused_before_the_folder_is_made(rain, tmp_path):
    signature = onnx_models.echo_signature("FP32", (-1,))
    model = onnx_models.echo("FP32", ("n",))
    made = bundles.write(tmp_path / "echo", model, signature, onnx_models.EMPTY_PROFILE)
    other = scoring.Scoring(tmp_path, made, rain.input)

    assert other.refused()[:2] == (11, "ColumnMissing")
    assert not other.output.exists()
