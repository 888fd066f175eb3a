"""How a run can end without predictions, and what the Job's failure policy sees of it."""

import re

from modelyard_core.errors import ModelyardError, Rejected, Unavailable
from modelyard_core.runs import ExitCode
from modelyard_serving.errors import InvalidRequest, ModelFailed, Unservable

MAX_SENTENCE = 300
QUOTED_ROW = re.compile(r"(?<=columns, got )(\d+): .*")
"""Where Arrow goes on with the row itself, which may hold what no log should."""
DENIED = ("ACCESS_DENIED", "INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH", "NO_SUCH_BUCKET")
"""What S3 says to requests that are wrong however often they are sent."""
NO_FOLDER = (FileExistsError, NotADirectoryError, IsADirectoryError)
"""A file is where a folder must be, or the other way round."""


class BadArguments(Rejected):
    """The command line, or what it names, cannot be right whatever the data is."""


class BadData(Rejected):
    """The rows are not what the model takes."""


def exit_code_of(error: ModelyardError) -> ExitCode:
    """Return what the Job's failure policy must see."""
    if isinstance(error, BadData | InvalidRequest):
        return ExitCode.BAD_DATA
    if isinstance(error, Unavailable):
        return ExitCode.TRANSIENT
    return ExitCode.BAD_SPEC


def reason_of(error: ModelyardError) -> str:
    """Return the reason code of a failure."""
    if isinstance(error, Rejected):
        return error.reason
    if isinstance(error, ModelFailed | Unservable):
        return type(error).__name__
    return "Unavailable"


def of_input(error: Exception, shown: str) -> ModelyardError:
    """Return what an error while reading the input means."""
    if isinstance(error, FileNotFoundError):
        return BadData("DataNotFound", f"there is no {shown}")
    if isinstance(error, OSError) and _is_storage(error):
        return of_storage(error, shown)
    return BadData("DataUnreadable", f"{shown} cannot be decoded: {first_line(error)}")


def of_storage(error: OSError, shown: str) -> ModelyardError:
    """Return what an error of a folder or of S3 means."""
    what = f"{shown} cannot be reached: {first_line(error)}"
    if isinstance(error, NO_FOLDER):
        return BadArguments("BadArguments", what)
    if isinstance(error, PermissionError) or any(code in str(error) for code in DENIED):
        return BadArguments("AccessDenied", what)
    return Unavailable(what)


def first_line(error: Exception) -> str:
    """Return the beginning of what an error says, without the data that it quotes."""
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return QUOTED_ROW.sub(r"\1", line)[:MAX_SENTENCE]


def _is_storage(error: OSError) -> bool:
    """Tell an error of a disk or a network from one of a decoder, which Arrow gives the same type."""
    return error.errno is not None or "AWS Error" in str(error)
