"""A training run in a folder: a table, a request for it, and the program itself."""

import csv
import gzip
import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from modelyard_core import codec
from modelyard_core.canonical import digest_value
from modelyard_core.runs import (
    ChampionGate,
    DataSource,
    ExitCode,
    Feature,
    Gates,
    MetricGate,
    Pipeline,
    RunReport,
    RunRequest,
    Split,
)
from modelyard_training.__main__ import Run
from modelyard_training.journal import open_journal
from modelyard_training.settings import Settings

CITIES = ("berlin", "oslo", "paris", "rome", "")
FEATURES = (
    Feature("temp", "Float", "ImputeMedian", "Standard"),
    Feature("wind", "Float", "ImputeMedian"),
    Feature("city", "Category", encode="OneHot"),
)
Table = dict[str, list[Any]]


def a_table(rows: int = 1500, seed: int = 0) -> Table:
    """Return a learnable table: the warmer and calmer it is, the more often it rains."""
    dice = np.random.default_rng(seed)
    temp, wind = dice.normal(15, 8, rows), dice.gamma(2, 3, rows)
    city = dice.choice(CITIES, rows, p=(0.4, 0.3, 0.2, 0.06, 0.04))
    logit = (temp - 15) / 4 - (wind - 6) / 3 + (city == "rome") * 1.5
    rain = dice.random(rows) < 1 / (1 + np.exp(-logit))
    gone = dice.random(rows) < 0.03
    return {
        "day": list(range(rows)),
        "temp": [round(float(value), 3) for value in temp],
        "wind": [
            None if absent else round(float(v), 3) for v, absent in zip(wind, gone, strict=True)
        ],
        "city": [str(name) for name in city],
        "rain": [int(value) for value in rain],
        "amount": [
            round(float(v), 4) for v in np.where(rain, 5 + logit + dice.normal(0, 1, rows), 0.5)
        ],
    }


def write_table(path: Path, table: Table) -> None:
    """Write a table in the format of the file's name."""
    if path.suffix == ".parquet":
        pa.parquet.write_table(pa.table(table), path)
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table)
    writer.writerows(
        ["" if cell is None else cell for cell in row] for row in zip(*table.values(), strict=True)
    )
    content = text.getvalue().encode()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def a_request(**changes: Any) -> RunRequest:
    """Return a request for `a_table`; its run key depends on its content."""
    request = replace(
        RunRequest(
            training="rain",
            namespace="shop",
            run="rain-00000001",
            run_key="",
            task="Classification",
            target="rain",
            data=DataSource("table.csv.gz", "configMap/table"),
            split=Split("Hash", 0.25, 42, "day"),
            features=FEATURES,
            pipeline=Pipeline("Logistic"),
            store_claim="models",
            gates=Gates((MetricGate("roc_auc", min=0.7),)),
            image="modelyard.dev/training:test",
        ),
        **changes,
    )
    return replace(request, run_key=request.run_key or digest_value(codec.encode(request)))


def versus_champion(max_drop: float = 0.03) -> Gates:
    """Return the gates of a challenger."""
    return Gates(
        (
            MetricGate("roc_auc", min=0.7),
            MetricGate("roc_auc", versus_champion=ChampionGate(max_drop)),
        )
    )


@dataclass(frozen=True, slots=True)
class Workshop:
    """The mounts of a pod, in a temporary folder."""

    root: Path

    @property
    def settings(self) -> Settings:
        """Return what the command line would say."""
        return Settings(
            request=self.root / "in" / "run.json",
            data=self.root / "data",
            store=self.root / "store",
            scratch=self.root / "tmp",
            termination_log=self.root / "termination-log",
            attempt="rain-00000001-abcde",
        )

    def arguments(self) -> list[str]:
        """Return the settings as a command line."""
        settings = self.settings
        return [
            *("--request", str(settings.request)),
            *("--data", str(settings.data)),
            *("--store", str(settings.store)),
            *("--scratch", str(settings.scratch)),
            *("--termination-log", str(settings.termination_log)),
            *("--attempt", settings.attempt),
        ]

    def put(self, request: RunRequest) -> None:
        """Write the request."""
        self.settings.request.write_text(codec.dumps(request))

    def run(self, request: RunRequest) -> tuple[ExitCode, RunReport]:
        """Run the program in this process."""
        self.put(request)
        code = Run(self.settings, open_journal()).run()
        return code, self.report()

    def report(self) -> RunReport:
        """Return the termination message."""
        return codec.loads(RunReport, self.settings.termination_log.read_bytes())

    def versions(self) -> list[Path]:
        """Return the folders of all bundles."""
        return sorted((self.settings.store / "rain" / "versions").glob("*"))

    def left_over(self) -> list[Path]:
        """Return what is in the scratch places."""
        attempts = self.settings.store / "rain" / "attempts"
        return [*attempts.glob("*"), *self.settings.scratch.glob("*")]


def a_workshop(root: Path, table: Table | None = None, name: str = "table.csv.gz") -> Workshop:
    """Return a workshop with one table in it."""
    for part in ("in", "data", "store", "tmp"):
        (root / part).mkdir(parents=True)
    write_table(root / "data" / name, a_table() if table is None else table)
    return Workshop(root)


def changed(change: Callable[[Table], object]) -> Table:
    """Return the table after a change."""
    table = a_table()
    change(table)
    return table
