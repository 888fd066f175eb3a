"""How a run ended: the one sentence that stays when Job and pod have gone.

Pure.  Exit codes and termination messages become a `LastRun`.
"""

import re
from dataclasses import dataclass
from datetime import timedelta

from modelyard_core import codec
from modelyard_core.durations import format_duration
from modelyard_core.errors import ShapeError
from modelyard_core.runs import ExitCode, RunReport, Verdict
from modelyard_operator.api.v1alpha1.model_training import ModelTraining
from modelyard_operator.api.v1alpha1.training_status import LastRun, RunStatus
from modelyard_operator.model_training import reasons, render
from modelyard_operator.model_training.observed import Job, Observed, Pod, Version

OOM_EXIT = 137

_EXIT_CODE = re.compile(r"exit code (\d+)")
_CODE_WORD = re.compile(r"^[A-Za-z][A-Za-z0-9]{0,63}$")
_EXIT_REASONS = {
    ExitCode.BAD_SPEC: reasons.BAD_SPEC,
    ExitCode.BAD_DATA: reasons.BAD_DATA,
    ExitCode.CANNOT_CONVERT: reasons.CANNOT_CONVERT,
    ExitCode.GUARD: reasons.GUARD,
    ExitCode.TRANSIENT: reasons.TRANSIENT,
}
_REMEDIES = {
    ExitCode.BAD_SPEC: "Correct the spec; that starts a new run.",
    ExitCode.BAD_DATA: "Correct the data or the spec; "
    "for the data, start a run with the annotation modelyard.dev/retrain.",
    ExitCode.CANNOT_CONVERT: "Use other pipeline or feature settings.",
    ExitCode.GUARD: "Make the model or the data smaller, or raise the limit.",
    ExitCode.TRANSIENT: "See that the store and the data can be read; "
    "then start a run with the annotation modelyard.dev/retrain.",
}


@dataclass(frozen=True, slots=True)
class Ended:
    """The run is over."""

    last: LastRun
    is_fit: bool = False
    """Its model could replace the champion."""


def read_report(pod: Pod) -> RunReport | None:
    """Return what the container said when it ended; None where it cannot be read."""
    try:
        return codec.loads(RunReport, pod.message)
    except ShapeError:
        return None


_ENDINGS = {
    Verdict.BLESSED: "passed every gate",
    Verdict.REJECTED: "was rejected",
    Verdict.INCONCLUSIVE: "could not be judged",
    Verdict.UNVERIFIED: "was not judged, because spec.gates has no metric with min or max",
}
_VERDICT_REMEDIES = {
    Verdict.BLESSED: "",
    Verdict.REJECTED: "The champion stays; change the pipeline or the data. An edited gate judges the next model.",
    Verdict.INCONCLUSIVE: "The champion stays; give it more data or a larger testFraction.",
    Verdict.UNVERIFIED: "Add a gate, or roll the version out by its number.",
}


def with_version(run: RunStatus, version: Version, world: Observed) -> Ended:
    """Return the end of a run that has its version."""
    because = f": {version.verdict_reason.rstrip('.')}" if version.verdict_reason else ""
    metric = f" ({version.metric})" if version.metric else ""
    last = last_run(
        run,
        world,
        version.verdict.value,
        f"Version {version.number}{metric} {_ENDINGS[version.verdict]}{because}.",
        _VERDICT_REMEDIES[version.verdict],
    )
    last = last.model_copy(
        update={"succeeded": True, "version": version.number, "verdict": version.verdict}
    )
    return Ended(last, is_fit=version.verdict in (Verdict.BLESSED, Verdict.UNVERIFIED))


def with_known(run: RunStatus, known: Version, world: Observed) -> Ended:
    """Return the end of a run whose Job found a version of the same data and settings."""
    is_drift = run.trigger == "Drift"
    last = last_run(
        run,
        world,
        reasons.DATA_UNCHANGED if is_drift else reasons.ALREADY_TRAINED,
        f"Run {run.name} trained nothing: version {known.number} was made from the same data and "
        "settings.",
        "Add newly labelled rows to the data; drift alone teaches nothing." if is_drift else "",
    )
    last = last.model_copy(
        update={"succeeded": True, "version": known.number, "verdict": known.verdict}
    )
    return Ended(last, is_fit=False)


def last_run(run: RunStatus, world: Observed, reason: str, sentence: str, remedy: str) -> LastRun:
    """Return the end of a run without a verdict."""
    return LastRun(
        name=run.name,
        trigger=run.trigger,
        started_at=run.started_at,
        finished_at=world.now,
        reason=reason,
        sentence=sentence[:1024],
        remedy=remedy[:512],
        succeeded=False,
    )


def unreadable(run: RunStatus, world: Observed) -> LastRun:
    """Return the end of a run whose report makes no sense."""
    return last_run(
        run,
        world,
        reasons.REPORT_UNREADABLE,
        f"Run {run.name} ended well but left no report that can be read.",
        "See that spec.runtime.image is a training image of this release.",
    )


# The Job has failed: from exit code and message to one sentence


def failure(training: ModelTraining, run: RunStatus, job: Job, world: Observed) -> LastRun:
    """Return the end of a run whose Job has failed."""
    if job.failure == "DeadlineExceeded":
        deadline = training.spec.runtime.active_deadline
        return last_run(
            run,
            world,
            reasons.DEADLINE_EXCEEDED,
            f"Run {run.name} was ended after its deadline of {deadline}.",
            "Raise spec.runtime.activeDeadline, or train on less.",
        )
    ended = [pod for pod in world.pods if pod.exit_code not in (None, ExitCode.DONE)]
    pod = next((pod for pod in reversed(ended) if not pod.disrupted), None)
    code = pod.exit_code if pod else _code_in(job.failure_message)
    if code == OOM_EXIT:
        return _out_of_memory(training, run, world)
    error = _error(pod)
    if error is None:
        return _silent_failure(run, job, world, code)
    word, sentence = error
    known = _exit(code)
    attempts = f" ({job.failed_pods} attempts)" if job.failed_pods > 1 else ""
    return last_run(
        run,
        world,
        word if _CODE_WORD.match(word) else _EXIT_REASONS.get(known, reasons.CRASHED),
        f"Run {run.name} failed{attempts}: {sentence.rstrip('.')}.",
        _REMEDIES.get(known, _logs(run)),
    )


def _code_in(message: str) -> int | None:
    """Return the exit code that a Job's condition names, where the pod has gone."""
    found = _EXIT_CODE.search(message)
    return int(found[1]) if found else None


def _exit(code: int | None) -> ExitCode:
    return ExitCode(code) if code in list(ExitCode) else ExitCode.BUG


def _error(pod: Pod | None) -> tuple[str, str] | None:
    report = read_report(pod) if pod else None
    return (report.error.code, report.error.sentence) if report and report.error else None


def _logs(run: RunStatus) -> str:
    return f"Read `kubectl logs job/{run.name}`; start a run with the annotation modelyard.dev/retrain."


def _out_of_memory(training: ModelTraining, run: RunStatus, world: Observed) -> LastRun:
    limit = render.memory(training.spec.runtime.resources)
    return last_run(
        run,
        world,
        reasons.OUT_OF_MEMORY,
        f"Run {run.name} needed more memory than its limit of {limit} and was killed.",
        f"Raise spec.runtime.resources.limits.memory above {limit}, then start a run with the "
        "annotation modelyard.dev/retrain.",
    )


def _silent_failure(run: RunStatus, job: Job, world: Observed, code: int | None) -> LastRun:
    """Nothing but an exit code, or not even that, is left of the attempt."""
    if code is None:
        cause = job.failure_message or job.failure or "no reason was given"
        reason, sentence = reasons.JOB_FAILED, f"Run {run.name} failed: {cause.rstrip('.')}."
    else:
        reason = _EXIT_REASONS.get(_exit(code), reasons.CRASHED)
        times = f"in each of {job.failed_pods} attempts" if job.failed_pods > 1 else "once"
        sentence = (
            f"Run {run.name} failed: the training program ended with exit code {code} {times}."
        )
    return last_run(run, world, reason, sentence, _logs(run))


def disrupted(run: RunStatus, world: Observed, disruptions: int) -> LastRun:
    """Return the end of a run that lost its pod too often."""
    return last_run(
        run,
        world,
        reasons.DISRUPTION_LOOP,
        f"Run {run.name} was evicted, preempted or drained {disruptions} times and was given up.",
        "Give it nodes that stay, or a higher priority; then start a run with the annotation "
        "modelyard.dev/retrain.",
    )


def lost(run: RunStatus, world: Observed) -> LastRun:
    """Return the end of a run whose pods vanish before they are read."""
    return last_run(
        run,
        world,
        reasons.RESULT_LOST,
        f"Run {run.name} succeeded {run.restarts + 1} times, but its pods were deleted before "
        "their result could be read.",
        "See what deletes finished pods; then start a run with the annotation "
        "modelyard.dev/retrain.",
    )


def not_started(run: RunStatus, world: Observed, timeout: timedelta, obstacle: str) -> LastRun:
    """Return the end of a run whose container did not start in time."""
    return last_run(
        run,
        world,
        reasons.NOT_STARTED,
        f"Run {run.name} did not start within {format_duration(timeout)}: {obstacle}.",
        "Remove the obstacle, then start a run with the annotation modelyard.dev/retrain.",
    )
