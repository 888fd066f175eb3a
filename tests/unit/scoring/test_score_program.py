"""How the program ends: exit codes for the Job's failure policy, one sentence for people."""

import gzip
import shutil

import pyarrow as pa
import pytest

from modelyard_core import bundle
from modelyard_serving.score import settings
from support import bundles, scoring

GZIPPED = gzip.compress(b"temp,wind,station\n1,2,a\n", mtime=0)
"""Without a time, which would be in the name of a test, and other in another worker."""


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--digest", "sha256:12"), "'sha256:12' is not sha256: and 64 hex digits"),
        (("--batch-rows", "0"), "argument --batch-rows: '0' is not a whole number of at least 1"),
        (("--nonsense",), "unrecognized arguments: --nonsense"),
        (("--keep", "label"), "--keep names 'label', which is an output of the model"),
        (("--in", "rows.orc"), "rows.orc does not end in .parquet, .csv, .csv.gz"),
        (("--in", "gs://bucket/rows.csv"), "'gs://bucket/rows.csv' is neither a path nor s3://"),
        (("--out", "s3://bucket"), "'s3://bucket' is neither a path nor s3://bucket/path"),
        (("--model", "nowhere"), "nowhere is neither pvc://claim/path nor a folder"),
        (("--model", "pvc://models/../x"), "'pvc://models/../x' leaves its store"),
    ],
)
def test_arguments_that_cannot_be_right_end_with_10(rain, tmp_path, more, sentence):
    rain.arguments += ["--store", str(tmp_path)]
    if more[0] == "--in" and "orc" in more[1]:
        (tmp_path / "rows.orc").touch()
        more = ("--in", str(tmp_path / "rows.orc"))

    if more[0] in ("--digest", "--batch-rows", "--nonsense"):
        with pytest.raises(settings.BadArguments) as caught:
            settings.read_settings(rain.command(*more), {})
        assert sentence in str(caught.value)
    else:
        code, _, found = rain.refused(*more)
        assert code == 10
        assert sentence in found


def test_a_bundle_with_other_bytes_ends_with_10(rain, tmp_path):
    shutil.copytree(rain.bundle.folder, tmp_path / "copy")
    rain.bundle = bundles.Bundle(tmp_path / "copy", rain.bundle.digest)
    with (rain.bundle.folder / "model.onnx").open("ab") as file:
        file.write(b"!")

    code, reason, sentence = rain.refused()

    assert (code, reason) == (10, "TamperedBundle")
    assert "model.onnx" in sentence
    assert not rain.output.exists()


def test_the_digest_is_read_from_a_folder_that_is_named_by_it(rain, tmp_path):
    made = bundles.in_store(tmp_path / "store")
    read = settings.read_settings(
        ["--model", made.uri, "--in", "a.csv", "--out", "b"], {"AWS_REGION": "eu-west-1"}
    )

    assert read.digest == made.digest
    assert read.s3.region == "eu-west-1"


def test_a_digest_is_asked_for_where_nothing_names_it():
    with pytest.raises(settings.BadArguments, match="--digest is needed: model is not a folder"):
        settings.read_settings(["--model", "model", "--in", "a.csv", "--out", "b"], {})


def test_a_bundle_is_found_below_the_mounted_store(rain, tmp_path):
    made = bundles.in_store(tmp_path / "store")

    assert rain.run("--model", made.uri, "--store", str(tmp_path / "store")) == 0

    path = bundle.version_path("rain", made.digest)
    assert rain.manifest()["model"] == {"uri": f"pvc://models/{path}", "digest": made.digest}


def column(rain_rows, name, values):
    index = rain_rows.schema.get_field_index(name)
    return rain_rows.slice(0, len(values)).set_column(index, name, values)


@pytest.mark.parametrize(
    ("name", "cells", "reason", "sentence"),
    [
        (
            "temp",
            pa.array([1.0, float("inf"), float("-inf")]),
            "ColumnWrongType",
            "column 'temp': 2 of 3 values are infinite or too large for FP32 (first in row 2)",
        ),
        (
            "temp",
            pa.array(["1", "2", "three"]),
            "ColumnWrongType",
            "column 'temp': 1 of 3 values are not numbers (first in row 3)",
        ),
        (
            "wind",
            pa.array([None, None, 0], pa.timestamp("ms")),
            "ColumnWrongType",
            "column 'wind' holds timestamp[ms], not numbers",
        ),
        (
            "station",
            pa.array([1.5, 2.5, 3.5]),
            "ColumnWrongType",
            "column 'station' holds double, which cannot be a Category; write it as text",
        ),
    ],
)
def test_cells_that_the_model_cannot_be_given_end_with_11(
    rain, rain_rows, name, cells, reason, sentence
):
    scoring.write(rain.input, column(rain_rows, name, cells))

    assert rain.refused() == (11, reason, sentence)


def test_the_row_of_a_bad_cell_is_counted_from_the_beginning_of_the_file(rain, rain_rows):
    temps = rain_rows["temp"].to_pylist()
    temps[776] = float("inf")
    scoring.write(rain.input, column(rain_rows, "temp", pa.array(temps)))

    assert rain.refused()[2].endswith("(first in row 777)")


def test_a_missing_column_ends_with_11(rain, rain_rows):
    scoring.write(rain.input, rain_rows.drop_columns(["wind", "station"]))

    assert rain.refused() == (
        11,
        "ColumnMissing",
        "the data has no column 'wind', 'station'; it has id, temp",
    )


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("rows.parquet", b"PAR1 and then nothing", "DataUnreadable"),
        ("rows.csv", b"", "DataEmpty"),
        ("rows.csv", b"temp,wind,station\n1,2\n", "DataUnreadable"),
        ("rows.csv", b"temp,temp,wind,station\n1,2,3,a\n", "ColumnTwice"),
        ("rows.csv", b"temp,wind,station\n1,2,\xff\xfe\n", "DataUnreadable"),
        ("rows.csv.gz", b"no gzip", "DataUnreadable"),
        ("rows.csv.gz", GZIPPED[:-9], "DataUnreadable"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_ends_with_11(rain, tmp_path, name, data, reason):
    rain.input = tmp_path / name
    rain.input.write_bytes(data)

    assert rain.refused()[:2] == (11, reason)


@pytest.mark.parametrize("row", ["secret,2", "1,2,secret,a", "secret"])
def test_a_row_of_another_length_is_not_quoted(rain, tmp_path, row):
    rain.input = tmp_path / "rows.csv"
    rain.input.write_text(f"temp,wind,station\n{row}\n")

    code, reason, sentence = rain.refused()

    assert (code, reason) == (11, "DataUnreadable")
    assert sentence.endswith(f"Expected 3 columns, got {len(row.split(','))}")


def test_no_such_input_ends_with_11(rain, tmp_path):
    rain.input = tmp_path / "nothing.parquet"

    assert rain.refused() == (11, "DataNotFound", f"there is no {rain.input}")


@pytest.mark.parametrize("below", ["", "/out"])
def test_an_output_that_can_never_be_a_folder_ends_with_10(rain, tmp_path, below):
    blocked = tmp_path / "file"
    blocked.touch()

    code, _, sentence = rain.refused("--out", f"{blocked}{below}")

    assert code == 10
    assert sentence.startswith(f"{blocked}{below} cannot be reached")


def test_an_output_that_cannot_be_written_now_ends_with_20(rain):
    code, _, sentence = rain.refused("--out", "/proc/nowhere/out")

    assert code == 20
    assert sentence.startswith("/proc/nowhere/out cannot be reached")
