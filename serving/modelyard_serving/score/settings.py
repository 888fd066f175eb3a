"""The only reader of the command line, and of the environment, for `modelyard-score`."""

import argparse
import os
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from modelyard_serving.score.failures import BadArguments
from modelyard_serving.settings import TERMINATION_LOG, available_cpus

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
NAMED_BY_DIGEST = re.compile(r"/sha256-([0-9a-f]{64})/?$")
ALL_COLUMNS = "*"
BATCH_ROWS = 4096
PART_ROWS = 1_000_000


@dataclass(frozen=True, slots=True)
class S3Settings:
    """Where S3 is; credentials are found the way that AWS programs find them."""

    endpoint: str = ""
    """Empty for AWS itself."""
    region: str = ""


@dataclass(frozen=True, slots=True)
class ScoreSettings:
    """What one run is told."""

    model: str
    digest: str
    input: str
    output: str
    keep: tuple[str, ...] = ()
    """Input columns that are copied to the output; `*` for all."""
    batch_rows: int = BATCH_ROWS
    """Rows that the model gets at once."""
    part_rows: int = PART_ROWS
    """Rows of an output file: at least, where row groups of the input decide."""
    overwrite: bool = False
    workers: int = 1
    store: Path = Path("/modelyard/store")
    termination_log: Path = TERMINATION_LOG
    attempt: str = "attempt"
    """Name of this process among all that may write to the same folder."""
    s3: S3Settings = S3Settings()


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints end the program like all others."""

    def error(self, message: str) -> NoReturn:
        raise BadArguments("BadArguments", message)


def read_settings(
    arguments: Sequence[str] | None = None, environment: Mapping[str, str] = os.environ
) -> ScoreSettings:
    """Return the settings of this process.

    Raises:
        BadArguments: an argument is missing or has no usable value.
    """
    given = _parser().parse_args(arguments)
    return ScoreSettings(
        model=given.model,
        digest=_digest(given.digest, given.model),
        input=given.input,
        output=given.output,
        keep=tuple(dict.fromkeys(name for text in given.keep for name in text.split(",") if name)),
        batch_rows=given.batch_rows,
        part_rows=given.part_rows,
        overwrite=given.overwrite,
        workers=given.workers or available_cpus(),
        store=given.store,
        termination_log=given.termination_log,
        attempt=f"{socket.gethostname()}-{os.getpid()}",
        s3=S3Settings(
            endpoint=environment.get("AWS_ENDPOINT_URL_S3")
            or environment.get("AWS_ENDPOINT_URL", ""),
            region=environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION", ""),
        ),
    )


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="modelyard-score",
        description="Run a model over a Parquet or CSV file and write its predictions as Parquet.",
        epilog="S3 is found by the usual AWS_* variables: credentials, AWS_REGION, AWS_ENDPOINT_URL.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--model", required=True, metavar="URI", help="pvc://claim/path, or the bundle's folder")
    add("--digest", metavar="SHA256", help="the bundle's digest, if its folder is not named by it")
    add("--in", dest="input", required=True, metavar="FILE", help=".parquet, .csv or .csv.gz")
    add(
        "--out", dest="output", required=True, metavar="FOLDER", help="a path or s3://bucket/folder"
    )
    add(
        "--keep",
        action="append",
        default=[],
        metavar="A,B",
        help="input columns to copy; * for all",
    )
    add("--overwrite", action="store_true", help="replace what another run has left in the folder")
    add("--batch-rows", type=_count, default=BATCH_ROWS, metavar="N", help=f"({BATCH_ROWS})")
    add("--part-rows", type=_count, default=PART_ROWS, metavar="N", help=f"({PART_ROWS})")
    add("--workers", type=_count, default=None, metavar="N", help="threads (the CPUs it may use)")
    add(
        "--store",
        type=Path,
        default=Path("/modelyard/store"),
        metavar="PATH",
        help="where pvc:// is",
    )
    add("--termination-log", type=Path, default=TERMINATION_LOG, metavar="PATH")
    return parser


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _digest(given: str | None, model: str) -> str:
    """Return the digest that the model must have: nothing is run that nobody named."""
    named = NAMED_BY_DIGEST.search(model)
    digest = given or (f"sha256:{named[1]}" if named else "")
    if not digest:
        raise BadArguments(
            "BadArguments", f"--digest is needed: {model} is not a folder named by its digest"
        )
    if not DIGEST.fullmatch(digest):
        raise BadArguments("BadArguments", f"{digest!r} is not sha256: and 64 hex digits")
    return digest
