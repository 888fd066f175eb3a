"""Runs a program of ours in a process of its own that is killed before its n-th write.

Nothing in the program knows about it: an audit hook counts what the interpreter is about to do to
the files below a folder.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

TRAINING = "modelyard_training.__main__"
SCORING = "modelyard_serving.score.__main__"

WRITES = ("os.rename", "os.link", "os.mkdir", "os.remove", "os.rmdir")
WRITE_FLAGS = os.O_WRONLY | os.O_RDWR


def run_killed(
    arguments: Sequence[str], below: Path, at: int, program: str = TRAINING
) -> int | None:
    """Run the program and kill it before write number `at` (never, when negative).

    Returns the exit code of the process: -9 when it was killed.
    """
    context = _warm_context()
    process = context.Process(target=_run, args=(program, list(arguments), str(below), at))
    process.start()
    process.join()
    return process.exitcode


def writes_of(
    arguments: Sequence[str], below: Path, notes: Path, program: str = TRAINING
) -> list[str]:
    """Run the program to its end and return what it was about to write, in order."""
    context = _warm_context()
    process = context.Process(target=_note, args=(program, list(arguments), str(below), str(notes)))
    process.start()
    process.join()
    return notes.read_text().splitlines()


def _warm_context() -> ForkServerContext:
    # The server imports the programs once and forks them; it does not know pytest's path.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([TRAINING, SCORING])
    return context


def _run(program: str, arguments: list[str], below: str, at: int) -> None:
    seen = 0

    def hook(event: str, args: tuple[Any, ...]) -> None:
        nonlocal seen
        if _is_write(event, args, below):
            if seen == at:
                os.kill(os.getpid(), signal.SIGKILL)
            seen += 1

    sys.addaudithook(hook)
    import_module(program).main(arguments)


def _note(program: str, arguments: list[str], below: str, notes: str) -> None:
    lines: list[str] = []

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if _is_write(event, args, below):
            lines.append(f"{event} {Path(str(args[0])).relative_to(below)}")

    sys.addaudithook(hook)
    try:
        import_module(program).main(arguments)
    finally:
        Path(notes).write_text("\n".join(lines))


def _is_write(event: str, args: tuple[Any, ...], below: str) -> bool:
    if event == "open":
        flags = args[2] if len(args) > 2 and isinstance(args[2], int) else 0
        return str(args[0]).startswith(below) and bool(flags & WRITE_FLAGS)
    return event in WRITES and str(args[0]).startswith(below)
