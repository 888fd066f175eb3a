"""Runs one training and leaves a report behind, whatever happens."""

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from modelyard_core.errors import ModelyardError
from modelyard_core.runs import ExitCode, RunReport, RunRequest
from modelyard_training import limits, reporting
from modelyard_training.failures import exit_code_of, reason_of
from modelyard_training.journal import LOGGER, Journal, open_journal
from modelyard_training.request import read_request
from modelyard_training.run import Places, train
from modelyard_training.settings import Settings, read_settings


class Run:
    """One process: what it knows of itself, so that it can always say how it ended."""

    def __init__(self, settings: Settings, journal: Journal) -> None:
        self._settings = settings
        self._journal = journal
        self._request: RunRequest | None = None

    def run(self) -> ExitCode:
        """Train, report, and return the exit code."""
        try:
            self._request = read_request(self._settings.request)
            report = train(self._request, self._places(), self._journal)
        except ModelyardError as error:
            return self._fail(exit_code_of(error), reason_of(error), str(error))
        except MemoryError:
            return self._fail(
                ExitCode.GUARD, "MemoryLimit", "the memory ran out; raise resources.limits.memory"
            )
        except Exception as error:  # noqa: BLE001 - a bug still owes one sentence
            LOGGER.exception("this is a bug")
            return self._fail(ExitCode.BUG, "Bug", f"unexpected {type(error).__name__}; see log")
        self._write(report)
        return ExitCode.DONE

    def leave(self, code: ExitCode, reason: str, sentence: str) -> NoReturn:
        """End the process at once, from any thread, with a report."""
        self._fail(code, reason, sentence)
        os._exit(code)

    def stop(self, _: int, __: FrameType | None) -> NoReturn:
        """End because the pod is being stopped; another attempt may succeed."""
        self.leave(
            ExitCode.TRANSIENT, "Terminated", "the pod was told to stop before the run ended"
        )

    def breach(self, sentence: str) -> NoReturn:
        """End because memory is nearly used up."""
        self.leave(ExitCode.GUARD, "MemoryLimit", sentence)

    def _places(self) -> Places:
        settings = self._settings
        return Places(settings.data, settings.store, settings.scratch, settings.attempt)

    def _fail(self, code: ExitCode, reason: str, sentence: str) -> ExitCode:
        LOGGER.error("%s: %s", reason, sentence)
        run = self._request.run if self._request else ""
        key = self._request.run_key if self._request else ""
        self._write(reporting.failed(run, key, reason, sentence))
        return code

    def _write(self, report: RunReport) -> None:
        reporting.write_termination_message(self._settings.termination_log, report)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run and exit."""
    run = Run(read_settings(arguments), open_journal())
    signal.signal(signal.SIGTERM, run.stop)
    limit = limits.memory_limit()
    if limit is None:
        sys.exit(run.run())
    with limits.MemoryGuard(limit, run.breach):
        code = run.run()
    sys.exit(code)


if __name__ == "__main__":
    main()
