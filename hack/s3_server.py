"""A real S3 server for the tests, built from its pinned Go module and kept under its version."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from hack import caches, locks, programs
from hack.terminal import Failure, step

MODULE = "github.com/versity/versitygw"
VERSION = "v1.8.0"
SUM = "h1:au+wI+aybno/STsQiSm35Uu6Q6iK5MWReQxgO6SEMFc="
PACKAGE = "./cmd/versitygw"
FLAGS = ("-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags=-s -w")


def ensure() -> Path:
    """Return the server's program, building it if no earlier run has.

    Raises:
        Failure: There is no Go, the module is another than the pinned one, or the build failed.
    """
    program = caches.cache_root() / "bin" / f"versitygw-{VERSION}"
    lock = program.with_name(f"{program.name}.lock")
    locks.once(program, lock, lambda: _build(program))
    return program


def _build(program: Path) -> None:
    if not programs.is_installed("go"):
        raise Failure("Go is needed to build the S3 server of the tests: https://go.dev/dl")
    log = caches.cache_root() / "logs" / "versitygw.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("")
    half = program.with_name(f"{program.name}.half")
    env = programs.environment(CGO_ENABLED="0", GOWORK="off", GOFLAGS="")
    with step(f"building the S3 server of the tests (minutes the first time; log: {log})"):
        # Inside the module's own folder its go.sum holds.
        command: list[str | Path] = ["go", "build", *FLAGS, "-o", half, PACKAGE]
        programs.run_logged(command, log, env=env, cwd=_source(env), timeout_seconds=1800)
    shutil.move(half, program)


def _source(env: dict[str, str]) -> Path:
    told = programs.run(
        ["go", "mod", "download", "-json", f"{MODULE}@{VERSION}"],
        env=env,
        cwd=caches.REPOSITORY,
        timeout_seconds=600,
    )
    found = json.loads(told)
    if found["Sum"] != SUM:
        raise Failure(f"{MODULE} {VERSION} has sum {found['Sum']}, expected {SUM}")
    return Path(found["Dir"])
