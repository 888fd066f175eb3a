"""How a run can end without a model: one class for each exit code.

A failure carries one sentence for the person who wrote the spec, with the fix in it and without
any value of the data.
"""

from modelyard_core.errors import ModelyardError, Rejected, ShapeError, Unavailable
from modelyard_core.runs import ExitCode


class BadSpec(Rejected):
    """The request cannot be right whatever the data is."""


class BadData(Rejected):
    """The rows are not what the request says."""


class CannotConvert(Rejected):
    """The fitted pipeline has no ONNX form that answers the same."""


class GuardReached(Rejected):
    """A limit on size, memory or time was reached."""


EXIT_CODES: dict[type[ModelyardError], ExitCode] = {
    BadSpec: ExitCode.BAD_SPEC,
    ShapeError: ExitCode.BAD_SPEC,
    BadData: ExitCode.BAD_DATA,
    CannotConvert: ExitCode.CANNOT_CONVERT,
    GuardReached: ExitCode.GUARD,
    Unavailable: ExitCode.TRANSIENT,
}


def exit_code_of(error: ModelyardError) -> ExitCode:
    """Return what the Job's failure policy must see."""
    return EXIT_CODES.get(type(error), ExitCode.BUG)


def reason_of(error: ModelyardError) -> str:
    """Return the reason code of a failure."""
    if isinstance(error, Rejected):
        return error.reason
    return "InvalidRequest" if isinstance(error, ShapeError) else "StoreUnavailable"
