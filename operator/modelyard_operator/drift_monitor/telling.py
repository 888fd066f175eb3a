"""From the report to the part of the status that shows it.  Pure.

Only what says something new is written: a monitor without requests costs no writes, one with many
costs one for each closed window.
"""

from collections.abc import Sequence
from datetime import timedelta

from modelyard_core.durations import format_duration
from modelyard_core.watch import Episode, FeatureFinding, Report, WindowFinding, WindowState
from modelyard_operator.api.v1alpha1.drift_monitor import (
    MAX_FINDINGS,
    DriftMonitorSpec,
    EpisodeStatus,
    FindingStatus,
    ProblemStatus,
    WindowStatus,
)

QUARTERS = 4
"""Rows of a window that is too small are told in quarters of what is needed."""
SMALLEST_TOLD = 1e-99


def episode(found: Episode | None) -> EpisodeStatus | None:
    """Return an episode as the status shows it."""
    if found is None:
        return None
    hits = f"{min(found.windows_hit, 99)}/{found.windows_needed}" if found.windows_needed else ""
    return EpisodeStatus(
        number=found.number,
        state=found.state,
        since=found.since.replace(microsecond=0),
        onset=found.onset.replace(microsecond=0) if found.onset else None,
        features=found.features[:MAX_FINDINGS],
        confirmed=hits,
    )


def windows(
    report: Report, spec: DriftMonitorSpec, before: Sequence[WindowStatus]
) -> tuple[WindowStatus, ...]:
    """Return the newest window of each length; the one before where it says nothing new."""
    known = {each.window: each for each in before}
    told = (_window(each) for each in report.windows)
    return tuple(_newer(known.get(each.window), each, spec.min_rows) for each in told)


def tested(told: Sequence[WindowStatus]) -> WindowStatus | None:
    """Return the newest window that had enough rows; of those that ended together the shortest."""
    enough = [each for each in told if each.state is not WindowState.INSUFFICIENT_DATA]
    return max(enough, key=lambda each: each.closed_at, default=None)


def problems(report: Report) -> tuple[ProblemStatus, ...]:
    """Return what is wrong with the data."""
    return tuple(
        ProblemStatus(
            feature=each.feature, kind=each.kind, blocking=each.blocking, sentence=each.sentence
        )
        for each in report.quality[:20]
    )


def budget(report: Report, spec: DriftMonitorSpec) -> str:
    """Return the alarms that were raised, and how many false ones are allowed."""
    allowed = spec.false_alarms
    return f"{report.alarms} of {allowed.budget} in {allowed.per}"[:64]


def number(value: float) -> str:
    """Return a number in three digits.

    >>> number(0.12345), number(4.0), number(0.0000123)
    ('0.123', '4', '1.23e-05')
    """
    return f"{value:.3g}"


def _window(found: WindowFinding) -> WindowStatus:
    features = list(found.features)
    if found.prediction is not None:
        features.append(found.prediction)
    features.sort(key=lambda each: (not each.drifting, each.p_value, -each.psi))
    drifting = [each for each in features if each.drifting]
    shown = drifting[:MAX_FINDINGS] or features[:1]
    return WindowStatus(
        window=format_duration(timedelta(seconds=found.seconds)),
        state=found.state,
        rows=found.rows,
        closed_at=found.closed_at,
        findings=tuple(map(_finding, shown)),
    )


def _finding(found: FeatureFinding) -> FindingStatus:
    probability = "<1e-99" if found.p_value < SMALLEST_TOLD else number(found.p_value)
    return FindingStatus(
        name=found.name,
        psi=number(found.psi),
        p_value=probability,
        alpha=number(found.alpha),
        moved=found.moved[:200],
    )


def _newer(before: WindowStatus | None, after: WindowStatus, needed: int) -> WindowStatus:
    is_silent = WindowState.INSUFFICIENT_DATA
    if before is None or before.state is not is_silent or after.state is not is_silent:
        return after
    same = _quarter(before.rows, needed) == _quarter(after.rows, needed)
    return before if same else after


def _quarter(rows: int, needed: int) -> int:
    return QUARTERS * rows // needed
