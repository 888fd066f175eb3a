"""The input: its columns, and its rows in parts and chunks that never cross a part's border.

A part of a Parquet file is a range of its row groups; a CSV file has none and is read from its
beginning, with the rows of finished parts passed over.  A chunk is decoded while it is needed: what
is in memory does not grow with the file.
"""

import csv
import io
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from modelyard_serving.score import failures
from modelyard_serving.score.failures import BadArguments, BadData
from modelyard_serving.score.places import Place

FORMATS = (".parquet", ".csv", ".csv.gz")
HEADER_LIMIT = 1 << 20
READ_BYTES = 1 << 22
CHUNK_CELLS = 1 << 22
"""Cells of a chunk at most: 32 MiB of numbers with eight bytes each."""
CHUNK_BATCHES = 16
"""Runs of the model for a chunk at most: what is done for each chunk is then done rarely enough."""


@dataclass(frozen=True, slots=True)
class Part:
    """Rows that become one output file."""

    index: int
    first: int
    """Number of its first row in the file, from zero."""
    groups: tuple[int, ...] = ()
    """Row groups of a Parquet file."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows that are decoded at once."""

    first: int
    batch: pa.RecordBatch


class Rows(Protocol):
    """An open input."""

    schema: pa.Schema
    """Of the wanted columns, in the wanted order."""
    total: int | None
    """Rows of the file, where it tells them."""

    def parts(self) -> Iterator[Part]:
        """Return the parts, in order; each before the next is asked for."""
        ...

    def chunks(self, part: Part, most: int) -> Iterator[Chunk]:
        """Return the rows of the part that `parts` gave last, `most` at once."""
        ...


def chunk_rows(batch_rows: int, cells: int) -> int:
    """Return how many rows of so many cells are decoded at once: whole batches of the model."""
    fitting = CHUNK_CELLS // max(cells, 1) // batch_rows
    return batch_rows * max(1, min(CHUNK_BATCHES, fitting))


@contextmanager
def opened(
    place: Place, names: tuple[str, ...], keep: tuple[str, ...], part_rows: int
) -> Iterator[Rows]:
    """Open the input for the model's columns and those to keep (`*`: all).

    A part has `part_rows` rows, or as many more as its row groups have.

    Raises:
        BadArguments: not a file of a known format.
        BadData: a column is missing or there twice, or the file is not what its name says.
        Unavailable: it cannot be read now.
    """
    if not place.path.endswith(FORMATS):
        raise BadArguments("BadArguments", f"{place.shown} does not end in {', '.join(FORMATS)}")
    with ExitStack() as stack:
        with decoding(place):
            if place.path.endswith(".parquet"):
                file = stack.enter_context(place.files.open_input_file(place.path))
                # Without buffering ahead a row group is read as it is needed, however large it is.
                parquet = pa.parquet.ParquetFile(file, buffer_size=READ_BYTES, pre_buffer=False)
                wanted = _chosen(list(parquet.schema_arrow.names), names, keep)
                found: Rows = _Parquet(place, parquet, wanted, part_rows)
            else:
                wanted = _chosen(_header(place), names, keep)
                found = _Csv(place, stack.enter_context(_stream(place)), wanted, part_rows)
        yield found


@contextmanager
def decoding(place: Place) -> Iterator[None]:
    """Say what an error of the input means.

    Raises:
        BadData: the file is not what its name says.
        Unavailable: it cannot be read now.
    """
    try:
        yield
    except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise failures.of_input(error, place.shown) from error


def _chosen(present: list[str], names: tuple[str, ...], keep: tuple[str, ...]) -> list[str]:
    """Return the columns to read: kept ones first, in the order of the file for `*`."""
    if not present:
        raise BadData("DataEmpty", "the data is empty: it has not even a header")
    kept = present if "*" in keep else keep
    wanted = list(dict.fromkeys((*kept, *names)))
    missing = [name for name in wanted if name not in present]
    if missing:
        shown = ", ".join(repr(name) for name in missing[:5])
        raise BadData(
            "ColumnMissing", f"the data has no column {shown}; it has {', '.join(present[:20])}"
        )
    twice = [name for name in wanted if present.count(name) > 1]
    if twice:
        raise BadData("ColumnTwice", f"the data has column {twice[0]!r} twice")
    return wanted


class _Parquet:
    """A Parquet file, read by row groups."""

    def __init__(
        self, place: Place, file: pa.parquet.ParquetFile, wanted: list[str], part_rows: int
    ) -> None:
        self._place = place
        self._file = file
        self._wanted = wanted
        self._part_rows = part_rows
        self.schema = pa.schema([file.schema_arrow.field(name) for name in wanted])
        self.total: int | None = file.metadata.num_rows

    def parts(self) -> Iterator[Part]:
        index, first, rows = 0, 0, 0
        groups: list[int] = []
        for group in range(self._file.metadata.num_row_groups):
            groups.append(group)
            rows += self._file.metadata.row_group(group).num_rows
            if rows >= self._part_rows:
                yield Part(index, first, tuple(groups))
                index, first, rows, groups = index + 1, first + rows, 0, []
        if groups or not index:
            yield Part(index, first, tuple(groups))

    def chunks(self, part: Part, most: int) -> Iterator[Chunk]:
        first = part.first
        if not part.groups:
            return
        groups = list(part.groups)
        with decoding(self._place):
            for batch in self._file.iter_batches(most, row_groups=groups, columns=self._wanted):
                if batch.num_rows:  # a row group may be empty
                    yield Chunk(first, batch.select(self._wanted))
                first += batch.num_rows


class _Csv:
    """A CSV file: every column is text, whose meaning is decided where it is used."""

    def __init__(
        self, place: Place, stream: pa.NativeFile, wanted: list[str], part_rows: int
    ) -> None:
        self._place = place
        self._part_rows = part_rows
        self.schema = pa.schema([pa.field(name, pa.string()) for name in wanted])
        self.total: int | None = None
        self._at = 0
        self._rest: pa.RecordBatch | None = None
        self._batches = pa.csv.open_csv(
            stream,
            read_options=pa.csv.ReadOptions(block_size=READ_BYTES),
            parse_options=pa.csv.ParseOptions(newlines_in_values=True),
            convert_options=pa.csv.ConvertOptions(
                include_columns=wanted,
                column_types=dict.fromkeys(wanted, pa.string()),
                strings_can_be_null=False,
            ),
        )

    def parts(self) -> Iterator[Part]:
        index = 0
        while self._pass_over(index * self._part_rows) or not index:
            yield Part(index, index * self._part_rows)
            index += 1

    def chunks(self, part: Part, most: int) -> Iterator[Chunk]:
        end = part.first + self._part_rows
        while self._at < end:
            first = self._at
            batch = self._take(min(most, end - first))
            if batch is None:
                return
            yield Chunk(first, batch)

    def _pass_over(self, until: int) -> bool:
        """Leave out rows up to a number; tell whether there is one after them."""
        while self._at < until:
            if self._take(until - self._at) is None:
                return False
        return self._next() is not None

    def _take(self, most: int) -> pa.RecordBatch | None:
        batch = self._next()
        if batch is None:
            return None
        taken = batch.slice(0, most)
        self._rest = batch.slice(most)
        self._at += taken.num_rows
        return taken

    def _next(self) -> pa.RecordBatch | None:
        """Return what is decoded and not taken; None at the end of the file."""
        while self._rest is None or not self._rest.num_rows:
            try:
                with decoding(self._place):
                    self._rest = self._batches.read_next_batch()
            except StopIteration:
                return None
        return self._rest


def _header(place: Place) -> list[str]:
    with _stream(place) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
        return next(csv.reader(iter(lambda: text.readline(HEADER_LIMIT), "")), [])


def _stream(place: Place) -> pa.NativeFile:
    return place.files.open_input_stream(place.path, compression="detect", buffer_size=READ_BYTES)
