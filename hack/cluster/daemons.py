"""Programs that outlive the command that started them, known by pid *and* start time.

A pid alone may by now be somebody else's. So a record holds the boot, the start time and the
command line, and a signal is sent through a descriptor that was opened before they were compared.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hack import caches, programs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LOG_LIMIT_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Daemon:
    """One program to keep running."""

    name: str
    argv: tuple[str, ...]
    files: Mapping[Path, str] = field(default_factory=dict)
    """Configuration that it reads at its start."""

    @property
    def fingerprint(self) -> str:
        """Return a key that changes when the program has to be started anew."""
        texts = [f"{path}\n{text}" for path, text in sorted(self.files.items())]
        return caches.key_of(*self.argv, "files", *texts)


@dataclass(frozen=True, slots=True)
class Record:
    """What was written down when a program was started."""

    pid: int
    boot: str
    start_ticks: int
    argv: tuple[str, ...]
    fingerprint: str


def boot_id() -> str:
    """Return the kernel's name for this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_ticks(stat: str) -> int:
    """Return a process's start time from its /proc/<pid>/stat.

    The program's name, in parentheses, may itself hold spaces and parentheses.
    """
    return int(stat.rpartition(")")[2].split()[19])


def is_zombie(stat: str) -> bool:
    """Tell whether the process has ended and only waits to be collected."""
    return stat.rpartition(")")[2].split()[0] in {"Z", "X"}


def command_line(pid: int) -> tuple[str, ...]:
    """Return a process's arguments; nothing if it is gone."""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ()
    return tuple(part.decode(errors="replace") for part in raw.rstrip(b"\0").split(b"\0"))


def is_running(record: Record) -> bool:
    """Tell whether the recorded process, and not another with its pid, is alive."""
    try:
        stat = Path(f"/proc/{record.pid}/stat").read_text()
    except OSError:
        return False
    return (
        record.boot == boot_id()
        and not is_zombie(stat)
        and record.start_ticks == start_ticks(stat)
        and record.argv == command_line(record.pid)
    )


def read_record(path: Path) -> Record | None:
    """Return what a pid file says; nothing if it is missing or damaged."""
    try:
        data = json.loads(path.read_text())
        return Record(
            pid=int(data["pid"]),
            boot=str(data["boot"]),
            start_ticks=int(data["start_ticks"]),
            argv=tuple(data["argv"]),
            fingerprint=str(data["fingerprint"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def running(daemon: Daemon, pids: Path) -> Record | None:
    """Return the record of a daemon that runs as it should now be started."""
    record = read_record(pids / daemon.name)
    if record is None or record.fingerprint != daemon.fingerprint or not is_running(record):
        return None
    return record


def start(daemon: Daemon, pids: Path, logs: Path) -> Record:
    """Start a program in a session of its own and write its record."""
    pids.mkdir(parents=True, exist_ok=True)
    logs.mkdir(parents=True, exist_ok=True)
    for path, text in daemon.files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    log = logs / f"{daemon.name}.log"
    if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
        shutil.move(log, log.with_suffix(".log.1"))
    with log.open("ab") as sink:
        process = subprocess.Popen(
            daemon.argv,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            umask=0o022,
            cwd="/",
            env=programs.direct_environment(),
        )
    record = Record(
        pid=process.pid,
        boot=boot_id(),
        start_ticks=start_ticks(Path(f"/proc/{process.pid}/stat").read_text()),
        argv=daemon.argv,
        fingerprint=daemon.fingerprint,
    )
    # The kernel shows the new command line a moment after it has let go of the old program.
    programs.wait_until(
        lambda: command_line(process.pid) == daemon.argv or process.poll() is not None,
        timeout_seconds=5,
        pause_seconds=0.01,
    )
    process.returncode = 0  # it outlives us, and Popen need not warn of that
    (pids / daemon.name).write_text(json.dumps(asdict(record), indent=1))
    return record


def stop(record: Record, *, patience_seconds: float = 10) -> None:
    """End a recorded process: first with SIGTERM, after some patience with SIGKILL."""
    with _handle(record.pid) as handle:
        if handle is None or not is_running(record):
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, number)
            if programs.wait_until(
                lambda: not is_running(record), timeout_seconds=patience_seconds, pause_seconds=0.05
            ):
                return


def kill(pid: int, expected: tuple[str, ...]) -> None:
    """End a process at once if it still has the expected command line."""
    with _handle(pid) as handle:
        if handle is not None and command_line(pid) == expected:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)


def processes() -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield every process of the machine with its command line."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            argv = command_line(int(entry.name))
            if argv:
                yield int(entry.name), argv


@contextlib.contextmanager
def _handle(pid: int) -> Iterator[int | None]:
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        yield None
        return
    try:
        yield handle
    finally:
        os.close(handle)
