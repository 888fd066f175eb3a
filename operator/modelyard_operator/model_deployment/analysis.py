"""Router counters in, findings out: what the candidate has shown so far.  Pure.

Counters are read from every router pod, also from leaving ones.  A cursor for each router process
remembers how far it was counted; it is persisted in the same status write as the evidence that came
of it, so no request is counted twice.  A process without a cursor is only noted: what it had counted
before belongs to other traffic.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import log, log10

from modelyard_core.routes import ClusterCounters, RouterCounters, add, grpc_cluster
from modelyard_operator.api.v1alpha1.rollout_status import (
    MAX_TRACE,
    ArmCursor,
    CheckStatus,
    Cursor,
    Finding,
    TracePoint,
)
from modelyard_operator.api.v1alpha1.rollout_strategy import MAX_ROUTERS, Analysis, Check, CheckType
from modelyard_operator.model_deployment import evidence
from modelyard_operator.model_deployment.evidence import NOTHING, Tally

LN_10 = log(10.0)
MAX_CURSORS = 4 * MAX_ROUTERS


@dataclass(frozen=True, slots=True)
class Interval:
    """What both arms counted since the last reading, by the name of the check."""

    canary: Mapping[str, Tally]
    stable: Mapping[str, Tally]


@dataclass(frozen=True, slots=True)
class Arms:
    """The router's clusters that are compared."""

    stable: str
    canary: str
    is_mirrored: bool = False
    """The candidate gets copies: what a circuit breaker refused of them was never sent.  A refused
    live request is an error that its client saw."""


def fresh(analysis: Analysis, before: Sequence[CheckStatus] = ()) -> tuple[CheckStatus, ...]:
    """Return the evidence at the start of a step: of harm it is kept, of goodness it starts anew."""
    known = {check.name: check for check in before}
    return tuple(
        _shown(
            CheckStatus(
                name=check.name,
                log_harm=known[check.name].log_harm if check.name in known else evidence.no_harm(),
            ),
            check,
        )
        for check in analysis.effective_checks
    )


def read(
    cursors: Iterable[Cursor], counters: Iterable[RouterCounters], arms: Arms, analysis: Analysis
) -> tuple[Interval, tuple[Cursor, ...]]:
    """Return what happened since the cursors were made, and the cursors of now."""
    checks = analysis.effective_checks
    known = {cursor.boot: cursor for cursor in cursors}
    canary = {check.name: NOTHING for check in checks}
    stable = dict(canary)
    moved = []
    for seen in counters:
        before = known.pop(seen.boot, None)
        after = _cursor(before, seen, arms, checks)
        moved.append(after)
        if before is not None:
            _add(canary, checks, before.canary, after.canary)
            _add(stable, checks, before.stable, after.stable)
    # Routers that do not answer keep their cursors: they are counted when they answer again.
    silent = list(known.values())[: max(0, MAX_CURSORS - len(moved))]
    return Interval(canary, stable), tuple(sorted((*moved, *silent), key=lambda c: c.boot))


def without_latency(interval: Interval, analysis: Analysis) -> Interval:
    """Return an interval in which nothing was timed."""
    timed = {c.name: NOTHING for c in analysis.effective_checks if c.type is CheckType.LATENCY}
    return Interval({**interval.canary, **timed}, {**interval.stable, **timed})


def judge(
    statuses: Sequence[CheckStatus], interval: Interval, analysis: Analysis, needed: int
) -> tuple[CheckStatus, ...]:
    """Return the evidence after one more interval, and what it says."""
    known = {status.name: status for status in statuses}
    return tuple(
        _judged(known[check.name], check, interval, analysis.check_alpha, needed)
        for check in analysis.effective_checks
    )


def gross_failure(statuses: Sequence[CheckStatus], interval: Interval) -> Tally | None:
    """Return the candidate's errors if most of its requests fail: in the step, or just now."""
    errors = next(status for status in statuses if status.name == CheckType.ERRORS.lower())
    for tally in (Tally(errors.n_canary, errors.bad_canary), interval.canary[errors.name]):
        if evidence.is_gross(tally):
            return tally
    return None


def expected_requests(
    statuses: Sequence[CheckStatus], analysis: Analysis, needed: int
) -> int | None:
    """Return how many requests the candidate needs in this step, if it goes on like this."""
    known = {status.name: status for status in statuses}
    wanted = needed
    for check in analysis.effective_checks:
        status = known[check.name]
        if status.decision is Finding.PASSING:
            continue
        expected = evidence.requests_until_pass(
            status.log_ratio,
            check.harmless_share,
            Tally(status.n_canary, status.bad_canary),
            -log(analysis.check_alpha),
        )
        if expected is None:
            return None
        wanted = max(wanted, expected)
    return wanted


def traced(
    trace: Sequence[TracePoint], statuses: Sequence[CheckStatus], step: int, at: datetime
) -> tuple[TracePoint, ...]:
    """Return the trace with one more point a check; the older half is thinned when it is full."""
    points: list[TracePoint] = []
    for status in statuses:
        mine = [point for point in trace if point.check == status.name]
        if len(mine) >= MAX_TRACE:
            middle = MAX_TRACE // 2
            mine = [*mine[:middle:2], *mine[middle:]]
        points += [*mine, _point(status, step, at)]
    return tuple(points)


def _point(status: CheckStatus, step: int, at: datetime) -> TracePoint:
    return TracePoint(
        check=status.name,
        at=at,
        step=step,
        n=status.n_canary,
        harm=_decimal(log10(float(status.e_harm)) if float(status.e_harm) > 0 else -9.0),
        good=_decimal(log10(float(status.e_pass)) if float(status.e_pass) > 0 else -9.0),
    )


def _judged(
    status: CheckStatus, check: Check, interval: Interval, alpha: float, needed: int
) -> CheckStatus:
    canary, stable = interval.canary[check.name], interval.stable[check.name]
    counted = _with_counts(status, canary, stable)
    harm = evidence.add_harm(status.log_harm, canary, stable)
    ratio = evidence.add_ratio(status.log_ratio, check.odds_margin, canary, stable)
    total = Tally(counted.n_canary, counted.bad_canary)
    good = evidence.log_pass(ratio, check.harmless_share, total)
    updated = counted.model_copy(
        update={
            "log_harm": harm,
            "log_ratio": ratio,
            "decision": _finding(status, harm, good, alpha, total.requests >= needed),
        }
    )
    return _shown(updated, check)


def _with_counts(status: CheckStatus, canary: Tally, stable: Tally) -> CheckStatus:
    """Return the status with an interval's counts added."""
    return status.model_copy(
        update={
            "n_canary": status.n_canary + canary.requests,
            "bad_canary": status.bad_canary + canary.bad,
            "n_stable": status.n_stable + stable.requests,
            "bad_stable": status.bad_stable + stable.bad,
        }
    )


def _finding(
    status: CheckStatus, harm: Sequence[int], good: float, alpha: float, has_enough: bool
) -> Finding:
    """Return what the evidence says.  Harm always wins; what has passed in this step stays so."""
    target = -log(alpha)
    if evidence.log_harm(harm) >= target:
        return Finding.FAILING
    if not has_enough:
        return Finding.INSUFFICIENT_DATA
    if status.decision is Finding.PASSING or good >= target:
        return Finding.PASSING
    return Finding.UNDECIDED


def _shown(status: CheckStatus, check: Check) -> CheckStatus:
    total = Tally(status.n_canary, status.bad_canary)
    good = evidence.log_pass(status.log_ratio, check.harmless_share, total)
    return status.model_copy(
        update={
            "e_harm": _power(evidence.log_harm(status.log_harm)),
            "e_pass": _power(good),
        }
    )


def _power(natural_log: float) -> str:
    """Return e to a power with three digits, written so that it never overflows."""
    exponent = min(max(natural_log / LN_10, -99.0), 99.0)
    return f"{10.0**exponent:.3g}"


def _decimal(value: float) -> str:
    return f"{value:.2f}"


def _cursor(
    before: Cursor | None, seen: RouterCounters, arms: Arms, checks: Sequence[Check]
) -> Cursor:
    stable = _with_refused(_counted(seen, arms.stable, arms))
    canary = _counted(seen, arms.canary, arms)
    canary = canary if arms.is_mirrored else _with_refused(canary)
    return Cursor(
        boot=seen.boot,
        stable=_arm(before.stable if before else None, stable, checks),
        canary=_arm(before.canary if before else None, canary, checks),
    )


def _counted(seen: RouterCounters, arm: str, arms: Arms) -> ClusterCounters:
    """Return what one arm answered, over HTTP and gRPC; only HTTP has copies to compare with."""
    http = seen.clusters.get(arm, ClusterCounters())
    if arms.is_mirrored:
        return http
    return add(http, seen.clusters.get(grpc_cluster(arm), ClusterCounters()))


def _with_refused(counters: ClusterCounters) -> ClusterCounters:
    return replace(counters, errors=counters.errors + counters.overflow)


def _arm(before: ArmCursor | None, now: ClusterCounters, checks: Sequence[Check]) -> ArmCursor:
    """Return how far a cluster is counted.

    The router reads its numbers one after the other, so a request that ends meanwhile may look
    lost for one reading.  Only what two readings in a row show is lost.
    """
    lost = max(0, now.total - now.completed - now.active)
    confirmed = lost if before is None else max(before.lost, min(lost, before.lost_seen))
    timed = now.buckets[-1][1] if now.buckets else 0
    thresholds = (check.threshold_ms for check in checks)
    return ArmCursor(
        answered=now.success + now.errors,
        errors=now.errors,
        lost=confirmed,
        lost_seen=lost,
        timed=timed,
        slow=tuple(timed - _at_or_below(now, edge) for edge in thresholds if edge is not None),
    )


def _at_or_below(counters: ClusterCounters, edge: float) -> int:
    return max((count for bound, count in counters.buckets if bound <= edge), default=0)


def _add(
    tallies: dict[str, Tally], checks: Sequence[Check], before: ArmCursor, after: ArmCursor
) -> None:
    """Add what one router counted between two cursors."""
    lost = max(0, after.lost - before.lost)
    answered = max(0, after.answered - before.answered)
    timed = max(0, after.timed - before.timed)
    slow = iter(zip(before.slow, after.slow, strict=False))
    for check in checks:
        if check.type is CheckType.ERRORS:
            errors = max(0, after.errors - before.errors)
            tallies[check.name] += Tally(answered + lost, min(errors, answered) + lost)
        else:
            was, now = next(slow, (0, 0))
            tallies[check.name] += Tally(timed + lost, min(max(0, now - was), timed) + lost)
