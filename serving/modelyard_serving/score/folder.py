"""The output folder: part files that are whole or not there, and the manifest, written last.

    _run.json           which model, input and settings the folder is for; written first
    part-00000.parquet  finished if and only if its footer holds the mark of this run
    _manifest.json      the parts and what they were made from; written last: wait for it

A writer that dies leaves a file without footer, or one whose footer has no mark, since the mark is
added when the last row is written.  On a disk a part also gets its name only then.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
from pyarrow import fs

from modelyard_core.canonical import canonical_json
from modelyard_serving.score import places
from modelyard_serving.score.failures import BadArguments
from modelyard_serving.score.places import Identity, Place, reached

RUN = "_run.json"
MANIFEST = "_manifest.json"
PART = re.compile(r"part-\d{5,}\.parquet")
UNFINISHED = re.compile(r"\.part-\d{5,}\.parquet\..+")
MARK = b"modelyard"
"""Key of the mark in a part's footer."""
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Run:
    """What every part of one folder has in common."""

    model: str
    """Digest of the bundle."""
    input: str
    keep: tuple[str, ...]
    part_rows: int

    def document(self) -> dict[str, Any]:
        """Return the run as JSON."""
        return {"format": FORMAT, **asdict(self), "keep": list(self.keep)}


@dataclass(frozen=True, slots=True)
class Finished:
    """A part that is there."""

    file: str
    rows: int
    size: int


def part_name(index: int) -> str:
    """Return a part's file name.

    >>> part_name(7)
    'part-00007.parquet'
    """
    return f"part-{index:05d}.parquet"


class Folder:
    """The output of one run."""

    def __init__(self, place: Place, run: Run, attempt: str) -> None:
        self._place = place
        self._run = run
        self._attempt = attempt

    def claim(self, *, overwrite: bool) -> None:
        """Make the folder this run's own, whether it is new or was begun before.

        Raises:
            BadArguments: it belongs to another run, or to somebody else.
            Unavailable: it cannot be read or written now.
        """
        with reached(self._place):
            if self._place.is_local:
                self._place.files.create_dir(self._place.path, recursive=True)
            found = self._document(RUN)
            wanted = self._run.document()
            if found == wanted:
                return
            if found is not None and not overwrite:
                raise _other_run(self._place.shown, found, wanted)
            names = self._names()
            foreign = sorted(name for name in names if not _is_ours(name, begun=found is not None))
            if foreign:
                raise BadArguments(
                    "OutputNotEmpty",
                    f"{self._place.shown} holds {foreign[0]!r}, which no run of this program has "
                    "left there; choose an empty folder",
                )
            # What says whose the parts are goes last and comes first.
            for name in sorted(names, key=lambda name: (name == RUN, name)):
                self._delete(name)
            self._write(RUN, canonical_json(wanted))

    def finished(self, index: int, input_now: Identity) -> Finished | None:
        """Return a part if it is there, of this run and of the input as it is now.

        Raises:
            BadArguments: it may not be read.
            Unavailable: it cannot be read now.
        """
        child = self._place.child(part_name(index))
        with reached(child):
            info = child.files.get_file_info(child.path)
            if not info.is_file:
                return None
            try:
                with child.files.open_input_file(child.path) as file:
                    footer = pa.parquet.read_metadata(file)
            except pa.ArrowInvalid:
                return None  # cut off before its footer was written
        if (footer.metadata or {}).get(MARK) != self._mark(index, input_now):
            return None
        return Finished(part_name(index), footer.num_rows, info.size)

    def begin(self, index: int, schema: pa.Schema) -> "PartWriter":
        """Return a writer for a part.

        Raises:
            Unavailable: it cannot be written now.
        """
        return PartWriter(self._place, part_name(index), schema, self._attempt)

    def mark(self, index: int, input_now: Identity) -> Mapping[bytes, bytes]:
        """Return what the footer of a part says when it is finished."""
        return {MARK: self._mark(index, input_now)}

    def withdraw(self) -> None:
        """Remove the manifest: what it lists is about to change.

        Raises:
            Unavailable: the folder cannot be written now.
        """
        with reached(self._place):
            if MANIFEST in self._names():
                self._delete(MANIFEST)

    def is_complete(self, document: Mapping[str, Any]) -> bool:
        """Tell whether the manifest is there and says exactly this."""
        with reached(self._place):
            return self._document(MANIFEST) == document

    def complete(self, document: Mapping[str, Any], parts: list[Finished]) -> None:
        """Remove what does not belong to the result, then write the manifest.

        Raises:
            BadArguments: another run has taken the folder meanwhile.
            Unavailable: the folder cannot be written now.
        """
        with reached(self._place):
            if self._document(RUN) != self._run.document():
                raise BadArguments(
                    "OutputOfAnotherRun", f"another run has taken {self._place.shown} meanwhile"
                )
            listed = {part.file for part in parts}
            for name in self._names():
                if (PART.fullmatch(name) and name not in listed) or UNFINISHED.fullmatch(name):
                    self._delete(name)
            self._write(MANIFEST, json.dumps(document, indent=2, sort_keys=True).encode())

    def _mark(self, index: int, input_now: Identity) -> bytes:
        return canonical_json(
            {
                **self._run.document(),
                "part": index,
                "size": input_now.size,
                "version": input_now.version,
            }
        )

    def _names(self) -> list[str]:
        selector = fs.FileSelector(self._place.path, allow_not_found=True)
        return [info.base_name for info in self._place.files.get_file_info(selector)]

    def _document(self, name: str) -> object:
        child = self._place.child(name)
        try:
            with child.files.open_input_stream(child.path) as stream:
                return json.loads(stream.read())
        except FileNotFoundError:
            return None
        except ValueError:
            return {}  # cut off: nobody's, and not what is wanted

    def _delete(self, name: str) -> None:
        child = self._place.child(name)
        if child.is_local:
            Path(child.path).unlink(missing_ok=True)
        else:
            child.files.delete_file(child.path)

    def _write(self, name: str, data: bytes) -> None:
        child = self._place.child(name)
        if child.is_local:
            aside = Path(self._place.path, f".{part_name(0)}.{name}.{self._attempt}")
            aside.write_bytes(data)
            places.to_disk(str(aside))
            aside.rename(child.path)
        else:
            with child.files.open_output_stream(child.path) as stream:
                stream.write(data)


class PartWriter:
    """Writes one part; whoever does not finish it leaves nothing that looks finished."""

    def __init__(self, folder: Place, name: str, schema: pa.Schema, attempt: str) -> None:
        self._final = folder.child(name)
        aside = folder.child(f".{name}.{attempt}")
        self._target = aside if folder.is_local else self._final
        with reached(self._final):
            self._stream = self._target.files.open_output_stream(self._target.path)
            self._writer = pa.parquet.ParquetWriter(
                self._stream, schema, compression="zstd", use_dictionary=_repetitive(schema)
            )
        self.rows = 0

    def write(self, columns: list[pa.Array]) -> None:
        """Write some rows.

        Raises:
            Unavailable: the place does not take them now.
        """
        batch = pa.record_batch(columns, schema=self._writer.schema)
        with reached(self._final):
            self._writer.write_batch(batch)
        self.rows += batch.num_rows

    def finish(self, mark: Mapping[bytes, bytes]) -> Finished:
        """Add the mark and give the file its name.

        Raises:
            Unavailable: the place does not take it now.
        """
        with reached(self._final):
            self._writer.add_key_value_metadata(dict(mark))
            self._writer.close()
            self._stream.close()
            if self._target is not self._final:
                places.to_disk(self._target.path)
                Path(self._target.path).rename(self._final.path)
            size = self._final.files.get_file_info(self._final.path).size
        name = self._final.path.rpartition("/")[2]
        return Finished(name, self.rows, size)


def _repetitive(schema: pa.Schema) -> list[str]:
    """Return the columns that are worth a dictionary: not floats, whose values hardly repeat."""
    return [field.name for field in schema if not pa.types.is_floating(field.type)]


def _is_ours(name: str, *, begun: bool) -> bool:
    """Tell whether a run has left a file; before it has begun, it leaves unfinished ones only."""
    if UNFINISHED.fullmatch(name):
        return True
    return begun and (name in (RUN, MANIFEST) or PART.fullmatch(name) is not None)


def _other_run(shown: str, found: object, wanted: Mapping[str, Any]) -> BadArguments:
    known = found if isinstance(found, dict) else {}
    names = {"model": "another model", "input": "another input"}
    differs = next((name for name in wanted if known.get(name) != wanted[name]), "format")
    return BadArguments(
        "OutputOfAnotherRun",
        f"{shown} holds predictions of {names.get(differs, 'other settings')} "
        f"({differs} {known.get(differs)!r}, now {wanted.get(differs)!r}); choose another folder, "
        "or say --overwrite",
    )
