"""What one closed window says: the tests of all features, of the predictions and of the data.

Pure.  A window is judged once.  Too few rows say nothing; bad data says nothing about drift either.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from modelyard_core.reference import NumericProfile, Profile
from modelyard_core.watch import (
    FeatureFinding,
    QualityProblem,
    Watch,
    WindowFinding,
    WindowState,
)
from modelyard_monitor import budget, psi, shares
from modelyard_monitor.grid import Span
from modelyard_monitor.layout import Column, IntArray, Layout, Observed, rows

MAX_FINDINGS = 20
MAX_PROBLEMS = 20
COMMON_SHARE = 0.5
"""A bin that held half of the reference may hold a whole window without being suspicious."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one window says."""

    finding: WindowFinding
    problems: tuple[QualityProblem, ...] = ()
    quiet: bool = False
    """Nothing has moved by half the effect: one step towards the end of an episode."""

    @property
    def sufficient(self) -> bool:
        """Whether the window had enough rows."""
        return self.finding.state is not WindowState.INSUFFICIENT_DATA

    @property
    def tested(self) -> bool:
        """Whether the window counts for or against drift."""
        return self.finding.state in (WindowState.CALM, WindowState.DRIFT)

    @property
    def hit(self) -> bool:
        """Whether the window found drift."""
        return self.finding.state is WindowState.DRIFT


def judge(watch: Watch, profile: Profile, layout: Layout, span: Span, total: IntArray) -> Judgement:
    """Return what the sum of a closed window says."""
    count = rows(total)
    blank = WindowFinding(
        seconds=span.seconds,
        closed_at=datetime.fromtimestamp(span.end, UTC),
        rows=count,
        state=WindowState.INSUFFICIENT_DATA,
    )
    if count < watch.min_rows:
        return Judgement(blank)
    problems = find_problems(watch, profile, layout, span, total)
    seen = _measure(watch, layout, total)
    features = _sorted(_test_features(watch, span, seen, 1.0))
    prediction = _test_prediction(watch, span, seen, 1.0)
    if any(problem.blocking for problem in problems):
        state = WindowState.DATA_QUALITY
    else:
        state = WindowState.DRIFT if _drifts(features, prediction) else WindowState.CALM
    finding = replace(
        blank, state=state, features=tuple(features[:MAX_FINDINGS]), prediction=prediction
    )
    half = _test_features(watch, span, seen, 0.5), _test_prediction(watch, span, seen, 0.5)
    return Judgement(finding, problems, quiet=not _drifts(*half))


@dataclass(frozen=True, slots=True)
class _Seen:
    """One column that has enough values to be tested."""

    column: Column
    counts: Observed
    shift: psi.Shift


def _measure(watch: Watch, layout: Layout, total: IntArray) -> list[_Seen]:
    """Measure every column with enough values; the prediction is the last one, if it has."""
    found = []
    for column in (*_watched(watch, layout), layout.prediction):
        counts = layout.counts(total, column)
        if counts.present >= watch.min_rows:
            found.append(_Seen(column, counts, psi.measure(*_cells(column, counts))))
    return found


def _drifts(features: Sequence[FeatureFinding], prediction: FeatureFinding | None) -> bool:
    return any(each.drifting for each in (*features, *filter(None, [prediction])))


def _level(watch: Watch, span: Span, group: str) -> float:
    scales = len(watch.windows_seconds)
    return budget.window_level(watch.budget, watch.budget_seconds, span.seconds, scales, group)


def _watched(watch: Watch, layout: Layout) -> list[Column]:
    return [column for column in layout.features if column.name not in watch.exclude]


def _test_features(
    watch: Watch, span: Span, seen: Sequence[_Seen], part: float
) -> list[FeatureFinding]:
    """Test every feature against a part of the minimum effect."""
    features = [each for each in seen if not _is_prediction(each)]
    p_values = psi.p_values([each.shift for each in features], watch.feature_effect * part)
    levels = budget.holm(p_values, _level(watch, span, budget.FEATURES))
    return [
        _finding(each, p_value, level)
        for each, p_value, level in zip(features, p_values, levels, strict=True)
    ]


def _test_prediction(
    watch: Watch, span: Span, seen: Sequence[_Seen], part: float
) -> FeatureFinding | None:
    found = next(filter(_is_prediction, seen), None)
    if found is None:
        return None
    (p_value,) = psi.p_values([found.shift], watch.prediction_effect * part)
    level = _level(watch, span, budget.PREDICTION)
    return replace(_finding(found, p_value, level), name="prediction")


def _is_prediction(seen: _Seen) -> bool:
    return seen.column.is_prediction


def _cells(column: Column, counts: Observed) -> tuple[IntArray, IntArray]:
    """Return the cells that are compared: what was never seen counts as *other*."""
    live = counts.bins.copy()
    live[-1] += counts.new
    return np.asarray(column.profile.counts, dtype=np.int64), live


def _finding(seen: _Seen, p_value: float, level: float) -> FeatureFinding:
    return FeatureFinding(
        name=seen.column.name,
        psi=round(seen.shift.psi, 4),
        p_value=float(f"{p_value:.3g}"),
        alpha=float(f"{level:.3g}"),
        drifting=p_value <= level,
        moved=moved(seen.column, seen.counts),
    )


def _sorted(findings: Sequence[FeatureFinding]) -> list[FeatureFinding]:
    return sorted(findings, key=lambda each: (each.p_value, -each.psi, each.name))


def moved(column: Column, counts: Observed) -> str:
    """Return the bin that gained most, in words: `30 % above 5 (reference 4 %)`."""
    reference, live = _cells(column, counts)
    p, q = psi.smoothed(reference), psi.smoothed(live)
    top = int(np.argmax(np.where(q >= p, (q - p) * np.log(q / p), -1.0)))
    here, there = live[top] / max(1, live.sum()), reference[top] / max(1, reference.sum())
    return f"{percent(here)} {_place(column, top)} (reference {percent(there)})"


def _place(column: Column, index: int) -> str:
    profile = column.profile
    if not isinstance(profile, NumericProfile):
        names = profile.categories
        return f"are {names[index]!r}" if index < len(names) else "are rare or new categories"
    if not profile.edges:
        return "in its only bin"
    if index == 0:
        return f"at most {profile.edges[0]:.4g}"
    if index == len(profile.edges):
        return f"above {profile.edges[-1]:.4g}"
    return f"in {profile.edges[index - 1]:.4g} to {profile.edges[index]:.4g}"


def percent(share: float) -> str:
    """Return a share in words.

    >>> percent(0.3), percent(0.0042), percent(0.0)
    ('30 %', '0.42 %', '0 %')
    """
    text = f"{100 * share:.2g}"
    return f"{'100' if text == '1e+02' else text} %"


def find_problems(
    watch: Watch, profile: Profile, layout: Layout, span: Span, total: IntArray
) -> tuple[QualityProblem, ...]:
    """Return what makes the data of a window doubtful."""
    columns = _watched(watch, layout)
    level = _level(watch, span, budget.QUALITY) / max(1, 4 * len(columns))
    found: list[QualityProblem] = []
    for column in columns:
        counts = layout.counts(total, column)
        tests = (
            _missing(watch, profile, column, counts),
            _new(watch, column, counts),
            _out_of_range(watch, column, counts),
            _constant(column, counts),
        )
        found += [problem for problem, p_value in filter(None, tests) if p_value <= level]
    return tuple(found[:MAX_PROBLEMS])


_Test = tuple[QualityProblem, float] | None


def _missing(watch: Watch, profile: Profile, column: Column, counts: Observed) -> _Test:
    n = counts.present + counts.missing
    before, now = column.profile.missing / max(1, profile.rows), counts.missing / max(1, n)
    limit = shares.upper_limit(column.profile.missing, profile.rows) + watch.max_missing_increase
    sentence = f"{column.name}: {percent(now)} of the values are missing (reference "
    return (
        QualityProblem(column.name, "Missing", now, before, True, f"{sentence}{percent(before)})"),
        shares.grown(counts.missing, n, limit),
    )


def _new(watch: Watch, column: Column, counts: Observed) -> _Test:
    if watch.new_categories == "Ignore" or isinstance(column.profile, NumericProfile):
        return None
    reference = sum(column.profile.counts)
    share = counts.new / max(1, counts.present)
    sentence = (
        f"{column.name}: {percent(share)} of the values are categories never seen in training"
    )
    blocking = watch.new_categories == "Block"
    return (
        QualityProblem(column.name, "NewCategories", share, 0.0, blocking, sentence),
        shares.grown(counts.new, counts.present, shares.upper_limit(0, reference)),
    )


def _out_of_range(watch: Watch, column: Column, counts: Observed) -> _Test:
    if not isinstance(column.profile, NumericProfile):
        return None
    share = counts.out_of_range / max(1, counts.present)
    low, high = column.profile.minimum, column.profile.maximum
    sentence = (
        f"{column.name}: {percent(share)} of the values lie outside {low:.4g} to {high:.4g}, "
        "the range of the reference"
    )
    return (
        QualityProblem(column.name, "OutOfRange", share, 0.0, True, sentence),
        shares.grown(counts.out_of_range, counts.present, watch.max_out_of_range),
    )


def _constant(column: Column, counts: Observed) -> _Test:
    """A sensor that is stuck: all values in one bin, inside the range, that held few before."""
    if not isinstance(column.profile, NumericProfile) or counts.out_of_range:
        return None
    top = int(np.argmax(counts.bins))
    reference = sum(column.profile.counts)
    before = column.profile.counts[top] / max(1, reference)
    if counts.bins[top] < counts.present or not counts.present or before >= COMMON_SHARE:
        return None
    sentence = (
        f"{column.name}: every value is {_place(column, top)}, where the reference has "
        f"{percent(before)}"
    )
    limit = shares.upper_limit(column.profile.counts[top], reference)
    return (
        QualityProblem(column.name, "Constant", 1.0, before, True, sentence),
        shares.grown(counts.present, counts.present, limit),
    )
