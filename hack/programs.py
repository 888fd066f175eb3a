"""Run other programs to their end, with a bounded time and a readable failure."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

from hack.terminal import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def is_installed(program: str) -> bool:
    """Tell whether the search path has the program."""
    return shutil.which(program) is not None


def environment(**changes: str) -> dict[str, str]:
    """Return this process's environment with some changes."""
    return {**os.environ, **changes}


def direct_environment(**changes: str) -> dict[str, str]:
    """Return the environment for talking to the local cluster: through no proxy."""
    return {
        name: value for name, value in environment(**changes).items() if name.lower() not in PROXIES
    }


def run(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    text: str | None = None,
    timeout_seconds: float = 120,
) -> str:
    """Run a program and return what it printed.

    Raises:
        Failure: It did not end in time, or not with 0; the sentence has its last lines.
    """
    command = [str(part) for part in argv]
    try:
        done = subprocess.run(
            command,
            env=env,
            cwd=cwd,
            input=text,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Failure(f"`{_short(command)}` did not end in {timeout_seconds:.0f} s") from error
    except FileNotFoundError as error:
        raise Failure(f"`{command[0]}` is not installed") from error
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-8:]
        raise Failure(f"`{_short(command)}` ended with {done.returncode}:\n  " + "\n  ".join(last))
    return done.stdout


def succeeds(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    timeout_seconds: float = 20,
) -> bool:
    """Tell whether a program ends with 0 in time."""
    try:
        run(argv, env=env, timeout_seconds=timeout_seconds)
    except Failure:
        return False
    return True


def run_logged(
    argv: Sequence[str | Path],
    log: Path,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout_seconds: float = 1800,
) -> None:
    """Run a long program with its output in a log file.

    Raises:
        Failure: It did not end in time, or not with 0; the sentence has the log's last lines.
    """
    command = [str(part) for part in argv]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as sink:
        try:
            code = subprocess.run(
                command,
                env=env,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                timeout=timeout_seconds,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired as error:
            raise Failure(
                f"`{_short(command)}` did not end in {timeout_seconds:.0f} s, see {log}"
            ) from error
        except FileNotFoundError as error:
            raise Failure(f"`{command[0]}` is not installed") from error
    if code != 0:
        raise Failure(
            f"`{_short(command)}` ended with {code}, see {log}:\n  " + "\n  ".join(last_lines(log))
        )


def last_lines(log: Path, count: int = 8) -> list[str]:
    """Return the end of a log file; nothing if there is none."""
    if not log.exists():
        return []
    with log.open("rb") as source:
        source.seek(max(0, log.stat().st_size - 8192))
        return source.read().decode(errors="replace").splitlines()[-count:]


def wait_until(
    condition: Callable[[], bool], *, timeout_seconds: float, pause_seconds: float = 0.25
) -> bool:
    """Wait for a condition; the answer is whether it came true in time."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause_seconds)
    return True


def _short(command: Sequence[str]) -> str:
    words = " ".join(command)
    return words if len(words) <= 100 else words[:97] + "..."
