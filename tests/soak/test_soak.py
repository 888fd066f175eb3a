"""The server for a long time: at half its speed, and among hostile clients, it does not grow."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pytest

from support import hostile, serving, steady_load
from support.hostile import MIB, Attack
from support.serving import INFER, rows

pytestmark = pytest.mark.soak

BODY = json.dumps({"inputs": rows([0.5])}).encode()
HEAD = b"POST " + INFER.encode() + b" HTTP/1.1\r\nhost: rain\r\n"
REQUEST = HEAD + b"content-length: %d\r\n\r\n" % len(BODY) + BODY
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
PROBE = b"GET /v2/health/ready HTTP/1.1\r\nhost: rain\r\n\r\n"

FULL_SPEED_SECONDS = 10
SHOW_EVERY = 10
GROWTH_BYTES = 8 * MIB
"""Of the memory, from the second fifth of the time to the last."""
P99_FACTOR, P99_MS = 3, 5
"""How much slower the last fifth may be than the second, beside so many milliseconds."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The server in one second."""

    memory: int
    files: int
    p99_ms: float


def own_bytes(pid: int) -> int:
    """Return what a process has written: its share of libraries changes as others come and go."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"process {pid} has ended")


def full_speed(port: int) -> float:
    """Return how many requests a second are answered when the next one never waits."""
    with steady_load.load(port, REQUEST, seconds=FULL_SPEED_SECONDS, rate=0) as seconds:
        return median(second.answered for second in seconds)


def test_half_the_load_for_long_leaves_memory_files_and_speed_as_they_are(
    rain_bundle, soak_seconds, capsys
):
    samples = []
    with serving.program(rain_bundle) as program:
        program.wait_for("ready: rain version 1")
        pid = program.process.pid
        rate = full_speed(program.port) / 2
        answered = 0
        with steady_load.load(program.port, REQUEST, seconds=soak_seconds, rate=rate) as seconds:
            for number, second in enumerate(seconds):
                assert second.failed == 0
                answered += second.answered
                sample = Sample(own_bytes(pid), hostile.open_files(pid), second.p99_ms)
                samples.append(sample)
                if number % SHOW_EVERY == 0:
                    show(capsys, number, soak_seconds, sample, second.answered)

    assert len(samples) > 10
    fifth = len(samples) // 5
    early, late = samples[fifth : 2 * fifth], samples[-fifth:]
    growth = median(s.memory for s in late) - median(s.memory for s in early)
    quick, slow = (median(s.p99_ms for s in part) for part in (early, late))
    with capsys.disabled():
        print(f"{answered} answers; memory {growth / MIB:+.2f} MiB; p99 {quick} -> {slow} ms")
    assert growth < GROWTH_BYTES
    assert max(s.files for s in late) <= max(s.files for s in early)
    assert slow < P99_FACTOR * quick + P99_MS


def show(capsys, number: int, end: float, sample: Sample, answered: int) -> None:
    with capsys.disabled():
        print(
            f"{number:5}/{end:.0f} s  {answered:6}/s  p99 {sample.p99_ms:7.2f} ms"
            f"  {sample.memory / MIB:7.2f} MiB  {sample.files} files",
            flush=True,
        )


def test_nonsense_for_long_leaves_nothing_behind(rain_bundle, soak_seconds, capsys):
    with serving.program(rain_bundle, RECEIVE_SECONDS=5) as program:
        program.wait_for("ready: rain version 1")
        pid = program.process.pid
        files = hostile.open_files(pid)
        end = time.monotonic() + soak_seconds
        memory = []
        while time.monotonic() < end or len(memory) < 10:
            seed = len(memory)
            Attack(program.port, seed, (REQUEST, CHUNKED, PROBE)).run(2000)
            memory.append(hostile.resident_bytes(pid))
            with capsys.disabled():
                print(f"{2000 * (seed + 1)} streams, {memory[-1] / MIB:.1f} MiB", flush=True)
        while hostile.open_files(pid) > files:
            assert program.process.poll() is None
        last = program.converse(PROBE.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))

    fifth = len(memory) // 5
    assert median(memory[-fifth:]) - median(memory[fifth : 2 * fifth]) < GROWTH_BYTES
    assert last.startswith(b"HTTP/1.1 200 OK")
    assert not "".join(line for line in program.lines if "traceback" in line)
