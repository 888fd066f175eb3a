"""Rows on disk for the batch program, the program itself, and an oracle that is plainly right."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet

from modelyard_core.runs import ExitCode
from modelyard_serving.score.__main__ import Program
from support.bundles import Bundle

STATIONS = ("north", "south", "east")


def rain_table(rows: int, seed: int = 0) -> pa.Table:
    """Return rows for the rain classifier, with an id, missing numbers and missing categories."""
    draw = np.random.default_rng(seed)
    station = pa.array(draw.choice(STATIONS, rows), mask=draw.random(rows) < 0.1)
    return pa.table(
        {
            "id": pa.array(range(rows), pa.int64()),
            "temp": pa.array(
                draw.normal(size=rows).astype(np.float32), mask=draw.random(rows) < 0.1
            ),
            "wind": pa.array(draw.random(rows)),
            "station": station,
        }
    )


def oracle(model: bytes, table: pa.Table) -> dict[str, np.ndarray]:
    """Return what the rain model says of a table, asked row by row in the plainest way."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    feeds = {
        "temp": np.array([np.nan if v is None else v for v in table["temp"].to_pylist()], "f4"),
        "wind": np.array([np.nan if v is None else v for v in table["wind"].to_pylist()], "f4"),
        "station": np.array([v or "" for v in table["station"].to_pylist()], object),
    }
    names = [output.name for output in session.get_outputs()]
    found = session.run(names, {name: cells.reshape(-1, 1) for name, cells in feeds.items()})
    return dict(zip(names, found, strict=True))


@dataclass
class Scoring:
    """The program with a bundle, an input and an output folder."""

    folder: Path
    bundle: Bundle
    input: Path
    arguments: list[str] = field(default_factory=list)
    name: str = "out"

    @property
    def output(self) -> Path:
        """The output folder."""
        return self.folder / self.name

    @property
    def log(self) -> Path:
        """Where the program leaves its last word."""
        return self.folder / "termination-log"

    def command(self, *more: str) -> list[str]:
        """Return the program's arguments; later ones win."""
        return [
            *("--model", str(self.bundle.folder), "--digest", self.bundle.digest),
            *("--in", str(self.input), "--out", str(self.output)),
            *("--termination-log", str(self.log), *self.arguments, *more),
        ]

    def run(self, *more: str) -> ExitCode:
        """Run the program in this process and return how it ended."""
        return Program().run(self.command(*more))

    def said(self) -> dict[str, Any]:
        """Return the last word."""
        found: dict[str, Any] = json.loads(self.log.read_text())
        return found

    def refused(self, *more: str) -> tuple[int, str, str]:
        """Run the program, expect it to fail, and return exit code, reason and sentence."""
        code = self.run(*more)
        error = self.said()["error"]
        return int(code), error["reason"], error["message"]

    def table(self) -> pa.Table:
        """Return the predictions, in the order of the input."""
        return pa.dataset.dataset(self.output, format="parquet").to_table()

    def parts(self) -> list[str]:
        """Return the names of the part files."""
        return sorted(path.name for path in self.output.glob("part-*"))

    def manifest(self) -> dict[str, Any]:
        """Return the manifest."""
        found: dict[str, Any] = json.loads((self.output / "_manifest.json").read_text())
        return found


def write(path: Path, table: pa.Table, group: int = 100) -> Path:
    """Write a Parquet file with row groups of so many rows."""
    pa.parquet.write_table(table, path, row_group_size=group)
    return path
