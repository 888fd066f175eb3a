"""One run of the bench: its options, its servers, and what could not be had."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from hack.terminal import Failure, say

from bench.serving import models, rounds, servers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from bench.serving.load import Generator, Job
    from bench.serving.models import Model
    from bench.serving.options import Options
    from bench.serving.report import Row
    from bench.serving.requests import Question
    from bench.serving.rounds import Cell, Pair

MODELS = {
    "iris": models.iris,
    "iris without columns": models.iris_without_columns,
    "forest": models.forest,
    "slow": models.slow,
}
DISTINCT = {1: 32, 64: 8, 1024: 4}
"""Distinct requests by their number of rows."""


@dataclass(slots=True)
class Session:
    """Everything that the cases share."""

    options: Options
    generator: Generator
    folder: Path
    server_core: int
    load_core: int
    expected_seconds: float = 0
    missing: dict[str, str] = field(default_factory=dict)
    """Servers that cannot be measured, and why."""
    rows: list[Row] = field(default_factory=list)
    _models: dict[str, Model] = field(default_factory=dict)
    _questions: dict[tuple[str, int], Sequence[Question]] = field(default_factory=dict)
    _servers: dict[str, servers.Server] = field(default_factory=dict)
    _began: float = field(default_factory=time.monotonic)

    def model(self, name: str) -> Model:
        """Return a model, made at its first use."""
        if name not in self._models:
            self._models[name] = MODELS[name](self.folder / "models" / name.replace(" ", "-"))
        return self._models[name]

    def questions(self, model: str, batch: int) -> Sequence[Question]:
        """Return what a model is asked."""
        key = (model, batch)
        if key not in self._questions:
            self._questions[key] = models.questions(self.model(model), batch, DISTINCT[batch])
        return self._questions[key]

    def server(
        self,
        name: str,
        model: str = "iris",
        more: Mapping[str, str] | None = None,
        cores: frozenset[int] | None = None,
    ) -> servers.Server:
        """Return a running server that is paused; started at its first use.

        Raises:
            Failure: it cannot be had.
        """
        key = f"{name}-{model}-{sorted((more or {}).items())}-{sorted(cores or ())}"
        if name in self.missing:
            raise Failure(self.missing[name])
        if key not in self._servers:
            made = self.new_server(name, model, more, cores)
            self.start(made)
            made.settle()
            made.pause()
            self._servers[key] = made
        return self._servers[key]

    def new_server(
        self,
        name: str,
        model: str = "iris",
        more: Mapping[str, str] | None = None,
        cores: frozenset[int] | None = None,
    ) -> servers.Server:
        """Return a server that is not started."""
        place = self.folder / "servers" / f"{name}-{model}-{len(self._servers)}"
        pinned = cores or frozenset({self.server_core})
        return servers.Server(name, self.model(model), place, pinned, more or {})

    def start(self, server: servers.Server) -> float:
        """Start a server and return how long that took; a peer that fails is not tried again.

        Raises:
            Failure: it does not answer.
        """
        try:
            return server.start(self.questions(server.model.name, 1)[0])
        except Failure as failure:
            server.stop()
            if server.name != "ours":
                self.missing[server.name] = str(failure)
            raise

    def under_load(self, server: servers.Server, job: Job) -> Cell:
        """Return a cell that loads a server."""
        return rounds.UnderLoad(server, job, self.generator)

    def raw(self, model: str, batch: int) -> Cell:
        """Return a cell that runs onnxruntime alone, on the same rows."""
        inputs = self.folder / f"{model}-{batch}.npy"
        if not inputs.exists():
            np.save(inputs, np.stack([q.rows for q in self.questions(model, batch)]))
        script = servers.PEERS / rounds.RAW
        return rounds.Raw(self.model(model).onnx, inputs, script, self.server_core)

    def in_turn(self, title: str, ours: Cell, theirs: Cell, rounds_: int | None = None) -> Pair:
        """Measure two cells in turn, and say so."""
        count = rounds_ or self.options.rounds
        turn = iter(range(1, count + 1))
        return rounds.in_turn(
            ours,
            theirs,
            count,
            self.options.seconds,
            lambda: self.say(f"{title}: round {next(turn)} of {count}"),
        )

    def say(self, text: str) -> None:
        """Print one line, with the time that is left."""
        left = max(0.0, self.expected_seconds - (time.monotonic() - self._began))
        say(f"{text} (about {left / 60:.1f} min left)" if self.expected_seconds else text)

    def close(self) -> None:
        """End every server."""
        for server in self._servers.values():
            server.stop()
        self._servers.clear()
