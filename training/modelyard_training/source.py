"""Fetches the rows: a copy of the file, digested while it is copied, decoded into Arrow columns.

Training reads the copy, so the digest is the digest of exactly the bytes that were trained on,
whatever happens to the file meanwhile.  CSV columns stay text here: what a text means depends on
the column's role, and is decided in `columns`.
"""

import csv
import gzip
import hashlib
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from modelyard_core.errors import Unavailable
from modelyard_core.runs import DataSource
from modelyard_training.failures import BadData, BadSpec

FORMATS = (".csv", ".csv.gz", ".parquet")
PIECE = 1 << 20
HEADER_LIMIT = 1 << 20
QUOTED_ROW = re.compile(r"(?<=columns, got )(\d+): .*")
"""Where Arrow goes on with the row itself, which may hold what no log should."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The bytes that a run is trained on."""

    path: Path
    digest: str
    size: int


def take_snapshot(source: DataSource, mount: Path, scratch: Path) -> Snapshot:
    """Copy the file into scratch and digest the copy.

    Raises:
        BadData: no such file, an empty one, or not the expected digest.
        Unavailable: the file cannot be read now.
    """
    original = _locate(source, mount)
    copy = scratch / ("data" + _format_of(source.path))
    digest, size = _copy(original, copy, source)
    if size == 0:
        raise BadData("DataEmpty", f"{_place(source)} is empty")
    if source.expected_digest and source.expected_digest != digest:
        raise BadData(
            "DataDigestMismatch",
            f"{_place(source)} has digest {digest}, but expectedDigest is {source.expected_digest}",
        )
    return Snapshot(copy, digest, size)


def read_columns(snapshot: Snapshot, names: tuple[str, ...], optional: tuple[str, ...]) -> pa.Table:
    """Return the named columns, the optional ones as far as they are there.

    Raises:
        BadData: a column is missing, there is no row, or the file is not what its name says.
    """
    try:
        present = _column_names(snapshot.path)
        if not present:
            raise BadData("DataEmpty", "the data is empty: it has not even a header")
        _check_present(names, present)
        wanted = [name for name in dict.fromkeys((*names, *optional)) if name in present]
        table = _decode(snapshot.path, wanted)
    except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        what = QUOTED_ROW.sub(r"\1", str(error).splitlines()[0])[:160]
        raise BadData("DataUnreadable", f"the data cannot be decoded: {what}") from error
    if table.num_rows == 0:
        raise BadData("DataEmpty", "the data has a header but no row")
    return table


def _place(source: DataSource) -> str:
    return f"{source.path} in {source.origin}"


def _format_of(path: str) -> str:
    for suffix in sorted(FORMATS, key=len, reverse=True):
        if path.endswith(suffix):
            return suffix
    raise BadSpec("InvalidSpec", f"data path {path!r} must end in {', '.join(FORMATS)}")


def _locate(source: DataSource, mount: Path) -> Path:
    _format_of(source.path)
    path = mount / source.path
    if not path.resolve().is_relative_to(mount.resolve()):
        raise BadSpec("InvalidSpec", f"data path {source.path!r} leaves its volume")
    if not path.exists():
        raise BadData("DataNotFound", f"there is no {_place(source)}")
    if not path.is_file():
        raise BadData("DataNotFound", f"{_place(source)} is not a file")
    return path


def _copy(original: Path, copy: Path, source: DataSource) -> tuple[str, int]:
    state, size = hashlib.sha256(), 0
    try:
        with original.open("rb") as reader, copy.open("wb") as writer:
            while piece := reader.read(PIECE):
                state.update(piece)
                writer.write(piece)
                size += len(piece)
    except OSError as error:
        raise Unavailable(f"{_place(source)} cannot be read: {error.strerror}") from error
    return "sha256:" + state.hexdigest(), size


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        yield stream  # type: ignore[misc]


def _column_names(path: Path) -> list[str]:
    if path.suffix == ".parquet":
        return list(pa.parquet.read_schema(path).names)
    with _opened(path) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
        names = next(csv.reader(iter(lambda: text.readline(HEADER_LIMIT), "")), [])
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise BadData("ColumnTwice", f"the header names column {min(twice)!r} twice")
    return names


def _check_present(names: tuple[str, ...], present: list[str]) -> None:
    missing = [name for name in names if name not in present]
    if missing:
        shown = ", ".join(repr(name) for name in missing[:5])
        have = ", ".join(present[:20]) or "none"
        raise BadData("ColumnMissing", f"the data has no column {shown}; it has {have}")


def _decode(path: Path, names: list[str]) -> Any:
    if path.suffix == ".parquet":
        return pa.parquet.read_table(path, columns=names).select(names)
    convert = pa.csv.ConvertOptions(
        include_columns=names,
        column_types=dict.fromkeys(names, pa.string()),
        strings_can_be_null=False,
    )
    with _opened(path) as stream:
        return pa.csv.read_csv(
            stream,
            convert_options=convert,
            parse_options=pa.csv.ParseOptions(newlines_in_values=True),
        )
