"""The run's log: lines on standard error for whoever watches, and their tail for the bundle."""

import logging
import sys
from collections import deque

from modelyard_training import clock

TAIL_LINES = 500
LOGGER = logging.getLogger("modelyard.training")


class Journal(logging.Handler):
    """Keeps the last lines."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(message)s"))
        self._began = clock.seconds()
        self._lines: deque[str] = deque(maxlen=TAIL_LINES)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line, with the seconds since the start."""
        line = f"{clock.seconds() - self._began:8.2f}s {self.format(record)}"
        self._lines.append(line)
        sys.stderr.write(line + "\n")
        sys.stderr.flush()

    def text(self) -> bytes:
        """Return the kept lines."""
        return ("\n".join(self._lines) + "\n").encode()


def open_journal() -> Journal:
    """Start a journal and make it the log of this process."""
    journal = Journal()
    LOGGER.handlers[:] = [journal]
    LOGGER.propagate = False
    LOGGER.setLevel(logging.INFO)
    return journal
