"""What a person sees while rows are scored: a bar on a terminal, else a line every few seconds."""

import logging
import sys
from collections.abc import Callable
from typing import TextIO

from modelyard_serving import clock

logger = logging.getLogger(__name__)

LINE_SECONDS = 5.0
BAR_SECONDS = 0.2
BAR_WIDTH = 24


class Progress:
    """Counts rows and tells about them, at most so often."""

    def __init__(
        self,
        total: int | None,
        out: TextIO = sys.stderr,
        now: Callable[[], float] = clock.monotonic,
    ) -> None:
        self.scored = 0
        self.found = 0
        """Rows of parts that an earlier attempt has finished."""
        self._total = total
        self._out = out
        self._is_terminal = out.isatty()
        self._now = now
        self._began = now()
        self._told = self._began

    def skip(self, rows: int) -> None:
        """Count rows that were there."""
        self.found += rows

    def add(self, rows: int) -> None:
        """Count rows that were scored now."""
        self.scored += rows
        now = self._now()
        if now - self._told < (BAR_SECONDS if self._is_terminal else LINE_SECONDS):
            return
        self._told = now
        if self._is_terminal:
            self._out.write(f"\r{self._bar()}{self.sentence()}\033[K")
            self._out.flush()
        else:
            logger.info("%s", self.sentence())

    def end(self) -> None:
        """Leave the bar's line."""
        if self._is_terminal and self._told > self._began:
            self._out.write("\n")
            self._out.flush()

    def seconds(self) -> float:
        """Return how long it has taken so far."""
        return self._now() - self._began

    def sentence(self) -> str:
        """Return rows, rows a second and the seconds to go."""
        rate = self.scored / max(self.seconds(), 1e-9)
        done = self.found + self.scored
        of = f" of {self._total:,}" if self._total is not None else ""
        text = f"{done:,}{of} rows, {rate:,.0f} rows/s"
        if self._total is not None and rate:
            text += f", {max(self._total - done, 0) / rate:,.0f} s to go"
        return text

    def _bar(self) -> str:
        if not self._total:
            return ""
        share = min((self.found + self.scored) / self._total, 1.0)
        filled = int(share * BAR_WIDTH)
        return f"[{'#' * filled}{'-' * (BAR_WIDTH - filled)}] {share:4.0%}  "
