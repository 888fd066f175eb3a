"""`modelyard-score`: run a model over a file of rows, and say how it ended, whatever happens."""

import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from modelyard_core import logs
from modelyard_core.errors import ModelyardError
from modelyard_core.runs import ExitCode
from modelyard_serving.score import run, settings
from modelyard_serving.score.failures import exit_code_of, reason_of
from modelyard_serving.settings import TERMINATION_LOG

MAX_MESSAGE = 1024
"""Characters of a sentence: the kubelet takes 4096 bytes."""

logger = logging.getLogger(__name__)


class Program:
    """One process, and where it leaves its last word."""

    def __init__(self) -> None:
        self._log = TERMINATION_LOG

    def run(self, arguments: Sequence[str] | None) -> ExitCode:
        """Score, leave a summary or a sentence behind, and return the exit code."""
        try:
            told = settings.read_settings(arguments)
            self._log = told.termination_log
            summary = run.run(told)
        except ModelyardError as error:
            return self._fail(exit_code_of(error), reason_of(error), str(error))
        except MemoryError:
            sentence = "the memory ran out; raise resources.limits.memory, or lower --batch-rows"
            return self._fail(ExitCode.GUARD, "MemoryLimit", sentence)
        except Exception as error:  # a bug still owes one sentence
            logger.exception("this is a bug")
            sentence = f"unexpected {type(error).__name__}; see the log"
            return self._fail(ExitCode.BUG, "Bug", sentence)
        self._leave(asdict(summary))
        sys.stdout.write(json.dumps(asdict(summary)) + "\n")
        return ExitCode.DONE

    def stop(self, _: int, __: FrameType | None) -> NoReturn:
        """End at once because the pod is being stopped; the next attempt goes on from here."""
        sentence = "the program was told to stop before the last row; finished parts stay"
        os._exit(self._fail(ExitCode.TRANSIENT, "Terminated", sentence))

    def _fail(self, code: ExitCode, reason: str, sentence: str) -> ExitCode:
        logger.error("%s: %s", reason, sentence)
        self._leave({"error": {"reason": reason, "message": sentence[:MAX_MESSAGE]}})
        return code

    def _leave(self, message: Mapping[str, Any]) -> None:
        """Put the message where Kubernetes reads it from; no such place is no reason to fail."""
        with contextlib.suppress(OSError):
            Path(self._log).write_text(json.dumps(message))


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run and exit."""
    logs.to_standard_error()
    program = Program()
    signal.signal(signal.SIGTERM, program.stop)
    sys.exit(program.run(arguments))


if __name__ == "__main__":
    main()
