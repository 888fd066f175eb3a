"""Reading files: what people really have in them."""

from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from modelyard_core.errors import Unavailable
from modelyard_core.runs import DataSource
from modelyard_training import columns, source
from modelyard_training.failures import BadData


def read(tmp_path, content, names=("a", "b"), optional=(), file="t.csv"):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / file).write_bytes(content)
    snapshot = source.take_snapshot(DataSource(file, "pvc/t"), tmp_path / "data", tmp_path)
    return source.read_columns(snapshot, names, optional)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"a,b\n1,x\n2,y\n", id="plain"),
        pytest.param(b"\xef\xbb\xbfa,b\n1,x\n2,y\n", id="byte-order-mark"),
        pytest.param(b"a,b\r\n1,x\r\n2,y\r\n", id="windows"),
        pytest.param(b'"a","b"\n"1","x"\n"2","y"', id="quoted-without-last-newline"),
        pytest.param(b"unused,b,a\n,x,1\n,y,2\n", id="other-order"),
        pytest.param(b'b,a,note\nx,1,"two\nlines"\ny,2,\n', id="newline-in-a-cell"),
    ],
)
def test_csv_as_people_write_it(tmp_path, content):
    table = read(tmp_path, content)

    assert columns.floats(table["a"], "a").tolist() == [1.0, 2.0]
    assert columns.texts(table["b"], "b").tolist() == ["x", "y"]


def test_many_words_mean_missing_in_a_number(tmp_path):
    table = read(tmp_path, b"a,b\n1,x\n,x\nNA,x\n nan ,x\nnull,x\n")

    assert np.isnan(columns.floats(table["a"], "a")).tolist() == [False, True, True, True, True]


def test_only_the_empty_text_is_a_missing_category(tmp_path):
    table = read(tmp_path, b"a,b\n1,NA\n2,\n3, \n")

    assert columns.texts(table["b"], "b").tolist() == ["NA", "", " "]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        pytest.param(b"", "DataEmpty", id="nothing"),
        pytest.param(b"a,b\n", "DataEmpty", id="header-only"),
        pytest.param(b"a,c\n1,2\n", "ColumnMissing", id="other-column"),
        pytest.param(b"a,b,a\n1,2,3\n", "ColumnTwice", id="column-twice"),
        pytest.param(b"a,b\n1,2\n3\n", "DataUnreadable", id="short-row"),
        pytest.param(b"a,b\n1,\xff\n", "DataUnreadable", id="not-utf-8"),
        pytest.param(b"\xff\xfe,b\n1,2\n", "DataUnreadable", id="header-not-utf-8"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, content, code):
    with pytest.raises(BadData) as failure:
        read(tmp_path, content)

    assert failure.value.reason == code


def test_a_row_of_another_length_is_not_quoted(tmp_path):
    with pytest.raises(BadData, match=r"Expected 2 columns, got 1$"):
        read(tmp_path, b"a,b\nsecret\n")


def test_an_optional_column_may_be_absent(tmp_path):
    table = read(tmp_path, b"a,b\n1,x\n", ("a",), ("b", "c"))

    assert table.column_names == ["a", "b"]


def test_a_data_file_that_cannot_be_opened_may_be_readable_later(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "t.csv").write_text("a\n1\n")

    with pytest.raises(Unavailable, match=r"t\.csv in pvc/t cannot be read"):
        source.take_snapshot(DataSource("t.csv", "pvc/t"), tmp_path / "data", tmp_path / "gone")


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        pytest.param(pa.array([1, None], pa.int32()), [1.0, None], id="integers"),
        pytest.param(pa.array([True, None]), [1.0, None], id="booleans"),
        pytest.param(pa.array([Decimal("1.5"), None]), [1.5, None], id="decimals"),
        pytest.param(pa.array(["2.5", None]), [2.5, None], id="text"),
        pytest.param(pa.array(["2.5", ""]).dictionary_encode(), [2.5, None], id="dictionary"),
        pytest.param(pa.array([float("nan"), 2.0]), [None, 2.0], id="nan"),
    ],
)
def test_numbers_of_any_column_type(cells, values):
    read_back = columns.floats(pa.chunked_array([cells]), "a").tolist()

    assert [None if np.isnan(each) else each for each in read_back] == values


@pytest.mark.parametrize(
    "cells",
    [
        pytest.param(pa.array([datetime(2026, 1, 1, tzinfo=UTC)]), id="times"),
        pytest.param(pa.array([[1.0]]), id="lists"),
        pytest.param(pa.array(["warm"]), id="words"),
        pytest.param(pa.array([float("inf")]), id="infinite"),
    ],
)
def test_what_is_no_number(cells):
    with pytest.raises(BadData):
        columns.floats(cells, "a")


@pytest.mark.parametrize(
    ("cells", "classes"),
    [
        pytest.param(pa.array(["0", "1"]), [0, 1], id="digits"),
        pytest.param(pa.array([0.0, 1.0]), [0, 1], id="whole-floats"),
        pytest.param(pa.array([False, True]), ["false", "true"], id="booleans"),
        pytest.param(pa.array([" no", "yes "]), ["no", "yes"], id="words"),
        pytest.param(pa.array(["0", "1.5"]), ["0", "1.5"], id="not-all-integers"),
        pytest.param(pa.array([-1, 3], pa.int8()), [-1, 3], id="integers"),
    ],
)
def test_labels(cells, classes):
    assert columns.labels(cells, "y").tolist() == classes


@pytest.mark.parametrize(
    "cells",
    [
        pytest.param(pa.array([3, 1, 2]), id="numbers"),
        pytest.param(pa.array(["2026-01-03", "2025-12-31T23:00:00Z", "2026-01-02"]), id="iso"),
        pytest.param(
            pa.array([datetime(2026, 1, day, tzinfo=UTC) for day in (3, 1, 2)]), id="times"
        ),
        pytest.param(pa.array(["3", "1", "2"]), id="text-numbers"),
    ],
)
def test_moments_keep_their_order(cells):
    assert np.argsort(columns.moments(cells, "t")).tolist() == [1, 2, 0]


def test_a_column_without_a_time_is_refused():
    with pytest.raises(BadData, match="column 't'"):
        columns.moments(pa.array(["monday", "tuesday"]), "t")


def test_a_parquet_file_that_is_none(tmp_path):
    with pytest.raises(BadData) as failure:
        read(tmp_path, b"a,b\n1,2\n", file="t.parquet")

    assert failure.value.reason == "DataUnreadable"
