"""Rounds: ours and one of the others in turn, so that both meet the same machine."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Protocol

from hack import programs

from bench.serving import figures, load

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bench.serving.load import Generator, Job
    from bench.serving.servers import Server

RAW = "raw_onnxruntime.py"


@dataclass(frozen=True, slots=True)
class Reading:
    """One measurement."""

    per_second: float
    """Requests."""
    processor_micros: float = 0
    """Processor time of all the server's processes, for each request."""
    p50_micros: float = 0
    p99_micros: float = 0
    slowest_micros: float = 0
    busy: float = 0


class Cell(Protocol):
    """What can be measured for some seconds."""

    def measure(self, seconds: float) -> Reading:
        """Return one reading.

        Raises:
            Failure: it could not be measured, or answers were wrong.
        """


@dataclass(frozen=True, slots=True)
class UnderLoad:
    """A running server and what it is asked; the server is paused when nobody measures it."""

    server: Server
    job: Job
    generator: Generator

    def measure(self, seconds: float) -> Reading:
        """Let the server go on, load it, and pause it again."""
        with contextlib.ExitStack() as stack:
            stack.callback(self.server.pause)
            self.server.resume()
            if self.generator.first:
                stack.enter_context(self.server.coming_first())
            before = self.server.processor_seconds()
            port = self.server.grpc_port if self.job.streams else self.server.port
            found = self.generator.run(self.job, port, seconds)
            spent = self.server.processor_seconds() - before
        return Reading(
            per_second=found.per_second,
            processor_micros=spent / found.total * 1e6,
            p50_micros=found.p50,
            p99_micros=found.p99,
            slowest_micros=found.slowest,
            busy=found.busy,
        )


@dataclass(frozen=True, slots=True)
class Together:
    """Servers that are loaded at the same time, each by a generator of its own."""

    cells: Sequence[UnderLoad]

    def measure(self, seconds: float) -> Reading:
        """Return what they do in all."""
        with contextlib.ExitStack() as stack:
            for cell in self.cells:
                stack.callback(cell.server.pause)
                cell.server.resume()
            runs = [
                cell.generator.start(cell.job, cell.server.port, seconds) for cell in self.cells
            ]
            for run in runs:
                stack.enter_context(run)
                stack.callback(run.kill)  # where another one has failed
            found = [load.finish(cell.job, run) for cell, run in zip(self.cells, runs, strict=True)]
        return Reading(
            per_second=sum(each.per_second for each in found),
            slowest_micros=max(each.slowest for each in found),
        )


@dataclass(frozen=True, slots=True)
class Raw:
    """onnxruntime in a loop, on the servers' core."""

    model: Path
    inputs: Path
    script: Path
    core: int

    def measure(self, seconds: float) -> Reading:
        """Run the loop in a process of its own."""
        mine = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {self.core})  # a child begins where its parent is
        try:
            told = programs.run(
                [sys.executable, self.script, self.model, self.inputs, str(seconds)],
                timeout_seconds=seconds + 60,
            )
        finally:
            os.sched_setaffinity(0, mine)
        return Reading(float(told))


@dataclass(frozen=True, slots=True)
class Pair:
    """The rounds of ours against one other."""

    ours: Sequence[Reading]
    theirs: Sequence[Reading]

    def ratio(self, figure: Callable[[Reading], float]) -> float:
        """Return ours by theirs."""
        return figures.paired_ratio(
            [figure(reading) for reading in self.ours],
            [figure(reading) for reading in self.theirs],
        )

    def medians(self, figure: Callable[[Reading], float]) -> tuple[float, float]:
        """Return the medians of ours and of theirs."""
        return median(map(figure, self.ours)), median(map(figure, self.theirs))


def in_turn(
    ours: Cell, theirs: Cell, rounds: int, seconds: float, done: Callable[[], None]
) -> Pair:
    """Measure A B, B A, A B, …: a machine that slows down steadily favours neither."""
    readings: tuple[list[Reading], list[Reading]] = ([], [])
    for number in range(rounds):
        order = (0, 1) if number % 2 == 0 else (1, 0)
        for side in order:
            readings[side].append((ours, theirs)[side].measure(seconds))
        done()
    return Pair(*readings)
