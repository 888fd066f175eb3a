"""`python -m bench serving`: prepare, measure, print the table, write the result."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from hack.terminal import Failure, say, step

from bench.serving import cases, environments, load, machine, quote, report, servers
from bench.serving.options import Options
from bench.serving.session import Session

if TYPE_CHECKING:
    from collections.abc import Sequence

OWN_PACKAGES = ("fastapi", "grpcio", "numpy", "onnxruntime", "protobuf", "uvicorn", "uvloop")
OVERHEAD_SECONDS = 0.8
"""What a reading takes beside its seconds: warming up, starting the generator, judging."""
START_SECONDS = 4.0
QUICK = Options(rounds=1, seconds=0.5, starts=1)


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m bench serving", description=__doc__)
    names = ", ".join(cases.CASES)
    parser.add_argument("--case", help=f"some of {names}, with commas between")
    parser.add_argument("--only", help="servers to compare with, with commas between")
    parser.add_argument("--quick", action="store_true", help="one short round of everything")
    parser.add_argument("--rounds", type=int, help="rounds of each pair")
    parser.add_argument("--seconds", type=float, help="seconds of each reading")
    parser.add_argument("--output", type=Path, help="where to write the result")
    parser.add_argument(
        "--document", action="store_true", help="only bring the documentation up to the last result"
    )
    parser.add_argument("--quote", action="store_true", help="only say the last result in words")
    return parser.parse_args(arguments)


def chosen(told: argparse.Namespace) -> tuple[Options, list[str]]:
    """Return the options and the cases to run.

    Raises:
        Failure: there is no such case or server.
    """
    usual = QUICK if told.quick else Options()
    only = tuple(told.only.split(",")) if told.only else ()
    names = told.case.split(",") if told.case else list(cases.CASES)
    for name, known in [
        *((n, cases.CASES) for n in names),
        *((n, {*servers.KINDS, "raw"}) for n in only),
    ]:
        if name not in known:
            raise Failure(f"{name!r} is none of {', '.join(sorted(known))}")
    options = Options(
        rounds=told.rounds or usual.rounds,
        seconds=told.seconds or usual.seconds,
        starts=usual.starts,
        only=only,
    )
    return options, names


def prepare(options: Options) -> dict[str, str]:
    """Make the environments of the wanted peers; return those that failed, and why."""
    missing = {}
    for name, kind in servers.KINDS.items():
        if kind.peer and options.wants(name) and not environments.is_installed(kind.peer):
            try:
                with step(f"installing {kind.title} (once, some minutes)"):
                    environments.install(kind.peer)
            except Failure as failure:
                missing[name] = f"cannot be installed: {failure}"
                say(f"{kind.title} {missing[name]}")
    return missing


def expected_seconds(options: Options, names: Sequence[str]) -> float:
    """Return about how long the cases take."""
    share = min(1.0, len(options.only) / len(servers.KINDS)) if options.only else 1.0
    return share * sum(
        cases.CASES[name].measurements(options) * (options.seconds + OVERHEAD_SECONDS)
        + cases.CASES[name].starts * START_SECONDS
        for name in names
    )


def measure(session: Session, names: Sequence[str]) -> None:
    """Run the cases; what fails becomes a row."""
    session.expected_seconds = expected_seconds(session.options, names)
    session.say(f"{len(names)} cases, {session.options.rounds} rounds")
    for name in names:
        try:
            for row in cases.CASES[name].measure(session):
                session.rows.append(row)
                session.say("  ".join(part for part in report.cells(row.encoded()) if part))
        except Failure as failure:
            session.rows.append(report.Row(name, "", "", note=f"not measured: {failure}"))
            session.say(session.rows[-1].note)


def versions() -> dict[str, dict[str, str]]:
    """Return the versions behind the figures."""
    found = {"ours": {"modelyard": version("modelyard"), **{p: version(p) for p in OWN_PACKAGES}}}
    for kind in servers.KINDS.values():
        if kind.peer:
            found[kind.peer] = environments.versions(kind.peer, kind.packages)
    return found


def run(told: argparse.Namespace) -> int:
    """Measure what is asked for; return the exit code."""
    options, names = chosen(told)
    server_core, load_core = machine.cores()
    about = machine.description()
    generator = load.Generator(load.build(), load_core)
    missing = prepare(options)
    os.sched_setaffinity(0, {load_core})
    at = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds")
    with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as folder:
        session = Session(options, generator, Path(folder), server_core, load_core, missing=missing)
        try:
            measure(session, names)
        finally:
            session.close()
    result = report.document(session.rows, about, versions(), at)
    print(f"\n{report.text_table(result['rows'])}\n", flush=True)
    whole = not (told.quick or told.case or told.only)
    if whole or told.output:
        path = told.output or report.RESULT
        report.write(path, result)
        say(f"written to {path}")
    if whole and not told.output:
        say(report.document_last())
    return 1 if any(row.is_missing for row in session.rows) else 0


def main(arguments: Sequence[str]) -> int:
    """Do what the command line asks for; return the exit code."""
    told = parsed(arguments)
    if told.document:
        say(report.document_last())
        return 0
    if told.quote:
        print(quote.paragraph((report.last() or {"rows": []})["rows"]))
        return 0
    return run(told)
