"""Rows in, predictions out: the same that the served model would give, whatever the file."""

import gzip

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from onnx import TensorProto, helper

from modelyard_core.reference import NumericProfile, Profile
from modelyard_core.signature import Signature, Tensor
from support import bundles, onnx_models, scoring


def check(table, rows):
    """Compare predictions with the oracle's."""
    wanted = scoring.oracle(onnx_models.rain(), rows)
    assert table["label"].to_pylist() == wanted["label"].tolist()
    found = np.array(table["probabilities"].to_pylist(), np.float32)
    assert np.array_equal(found, wanted["probabilities"], equal_nan=True)


def test_every_row_gets_the_predictions_of_the_model(rain, rain_rows):
    assert rain.run("--keep", "id") == 0

    table = rain.table()
    assert table.schema.names == ["id", "label", "probabilities"]
    assert table["id"].to_pylist() == list(range(1000))
    check(table, rain_rows)


@pytest.mark.parametrize("batch", ["1", "7", "100", "4096"])
def test_the_batch_size_changes_nothing(rain, rain_rows, batch):
    assert rain.run("--batch-rows", batch) == 0

    check(rain.table(), rain_rows)


def test_parts_are_whole_row_groups(rain):
    rain.run()

    manifest = rain.manifest()
    assert [part["rows"] for part in manifest["parts"]] == [300, 300, 300, 100]
    assert [part["file"] for part in manifest["parts"]] == rain.parts()
    assert manifest["rows"] == 1000
    assert manifest["model"]["digest"] == rain.bundle.digest
    assert manifest["classes"] == ["0", "1"]


def test_the_summary_says_what_was_made(rain):
    rain.run()

    said = rain.said()
    assert (said["rows"], said["parts"], said["found_parts"]) == (1000, 4, 0)
    assert said["model"] == rain.bundle.digest


@pytest.mark.parametrize(
    ("keep", "kept"),
    [
        ([], []),
        (["--keep", "station,id"], ["station", "id"]),
        (["--keep", "id", "--keep", "wind"], ["id", "wind"]),
        (["--keep", "*"], ["id", "temp", "wind", "station"]),
    ],
)
def test_only_the_chosen_columns_are_copied(rain, rain_rows, keep, kept):
    assert rain.run(*keep) == 0

    table = rain.table()
    assert table.schema.names == [*kept, "label", "probabilities"]
    assert table.select(kept).to_pylist() == rain_rows.select(kept).to_pylist()


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_csv_is_read_as_training_reads_it(rain, rain_rows, tmp_path, packed):
    plain = tmp_path / "rows.csv"
    pa.csv.write_csv(rain_rows, plain)
    rain.input = plain
    if packed:
        rain.input = tmp_path / "rows.csv.gz"
        rain.input.write_bytes(gzip.compress(plain.read_bytes()))

    assert rain.run("--keep", "id") == 0

    assert [part["rows"] for part in rain.manifest()["parts"]] == [300, 300, 300, 100]
    assert rain.table()["id"].to_pylist() == [str(i) for i in range(1000)]
    check(rain.table(), rain_rows)


def test_words_for_missing_and_a_byte_order_mark_are_understood(rain, tmp_path):
    rain.input = tmp_path / "rows.csv"
    rain.input.write_text(
        '\ufefftemp,wind,station\n 1.5 ,NA,north\nnull,0.5,"a,\nb"\n', encoding="utf-8"
    )

    assert rain.run() == 0

    rows = pa.table(
        {"temp": [1.5, None], "wind": [None, 0.5], "station": ["north", "a,\nb"]},
    )
    check(rain.table(), rows)


@pytest.mark.parametrize("name", ["rows.parquet", "rows.csv"])
def test_no_rows_become_one_empty_part(rain, rain_rows, tmp_path, name):
    rain.input = tmp_path / name
    if name.endswith("csv"):
        rain.input.write_text("id,temp,wind,station\n")
    else:
        scoring.write(rain.input, rain_rows.slice(0, 0))

    assert rain.run("--keep", "id") == 0

    assert rain.parts() == ["part-00000.parquet"]
    assert rain.manifest()["rows"] == 0
    assert rain.table().schema.names == ["id", "label", "probabilities"]


def test_dictionaries_and_large_strings_are_text(rain, rain_rows, tmp_path):
    station = rain_rows["station"].cast(pa.large_string()).combine_chunks().dictionary_encode()
    scoring.write(rain.input, rain_rows.set_column(3, "station", station))

    assert rain.run("--keep", "station") == 0

    check(rain.table(), rain_rows)


def matrix_scoring(tmp_path, profile, table):
    """Return a run of a model with one input of three numbers in each row, which it adds."""
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    node = helper.make_node("ReduceSum", ["x", "axes"], ["y"])
    model = onnx_models.build([node], [("x", "FP32", (-1, 3))], [("y", "FP32", (-1, 1))], [axes])
    signature = Signature(
        "Regression",
        (Tensor("x", "FP32", (-1, 3)),),
        (Tensor("y", "FP32", (-1, 1)),),
        score="y",
    )
    bundle = bundles.write(tmp_path / "model", model, signature, profile)
    return scoring.Scoring(tmp_path, bundle, scoring.write(tmp_path / "rows.parquet", table))


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.float32()), pa.list_(pa.float64(), 3), pa.large_list(pa.int32())]
)
def test_a_matrix_is_a_list_in_each_row(tmp_path, kind):
    table = pa.table({"x": pa.array([[1, 2, 3], [4, 5, 6]], kind)})

    made = matrix_scoring(tmp_path, onnx_models.EMPTY_PROFILE, table)

    assert made.run() == 0
    assert made.table()["y"].to_pylist() == [6.0, 15.0]


def test_a_matrix_is_read_from_the_columns_that_the_profile_names(tmp_path):
    columns = tuple(
        NumericProfile(name, (0.0,), (1, 0), 0, 0.0, 0.0, input="x", index=index)
        for name, index in (("c", 2), ("a", 0), ("b", 1))
    )
    profile = Profile(1, columns, (), onnx_models.EMPTY_PROFILE.prediction)
    table = pa.table({"a": [1, 4], "b": [20, 50], "c": [300, 600], "d": [9, 9]})

    made = matrix_scoring(tmp_path, profile, table)

    assert made.run() == 0
    assert made.table()["y"].to_pylist() == [321.0, 654.0]


KINDS = {
    "BOOL": [True, False],
    "UINT8": [0, 255],
    "INT16": [-32768, 32767],
    "INT64": [-(2**63), 2**53 + 1],
    "UINT64": [0, 2**64 - 1],
    "FP16": [0.5, -65504.0],
    "BF16": [0.5, -3.0],
    "FP32": [0.5, -3.4028234663852886e38],
    "FP64": [0.1, 1.7976931348623157e308],
}


@pytest.mark.parametrize("datatype", KINDS)
def test_every_datatype_goes_in_and_comes_out(tmp_path, datatype):
    model = onnx_models.echo(datatype, ("n",))
    signature = onnx_models.echo_signature(datatype, (-1,))
    bundle = bundles.write(tmp_path / "model", model, signature, onnx_models.EMPTY_PROFILE)
    kind = pa.uint64() if datatype == "UINT64" else None
    table = pa.table({"x": pa.array(KINDS[datatype], kind)})
    made = scoring.Scoring(tmp_path, bundle, scoring.write(tmp_path / "rows.parquet", table))

    assert made.run() == 0

    assert made.table()["y"].to_pylist() == KINDS[datatype]


def test_text_comes_out_as_text(tmp_path):
    nodes = [
        helper.make_node("Identity", ["s"], ["label"]),
        helper.make_node("Identity", ["x"], ["y"]),
    ]
    inputs = (Tensor("s", "BYTES", (-1, 2)), Tensor("x", "FP32", (-1, 1)))
    outputs = (Tensor("label", "BYTES", (-1, 2)), Tensor("y", "FP32", (-1, 1)))
    named = [[(t.name, t.datatype, t.shape) for t in tensors] for tensors in (inputs, outputs)]
    model = onnx_models.build(nodes, *named)
    signature = Signature("Regression", inputs, outputs, score="y")
    bundle = bundles.write(tmp_path / "model", model, signature, onnx_models.EMPTY_PROFILE)
    table = pa.table({"s": [["a", "Zürich"], ["", "b"]], "x": [1.0, 2.0]})
    made = scoring.Scoring(tmp_path, bundle, scoring.write(tmp_path / "rows.parquet", table))

    assert made.run() == 0

    assert made.table()["label"].to_pylist() == [["a", "Zürich"], ["", "b"]]
