"""Closing windows: each one is summed, judged and turned into episode moves once, in a transaction.

A window that has been written is never judged again; the newest one of a scale is where the next
pass continues, so a restart skips nothing and repeats nothing.
"""

import json
import sqlite3
from dataclasses import dataclass

from modelyard_core import codec
from modelyard_core.reference import Profile
from modelyard_core.watch import QualityProblem, WindowFinding
from modelyard_monitor import episode, grid, ledger
from modelyard_monitor.judge import Judgement, judge
from modelyard_monitor.layout import Layout
from modelyard_monitor.watches import Standing

MAX_WINDOWS_PER_PASS = 100
KEPT_WINDOWS = 100
"""Closed windows kept of each scale."""
KEPT_EPISODES = 200


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass has done."""

    judged: tuple[Judgement, ...]
    complete: bool
    """Nothing is left that could be closed now."""


def close(
    connection: sqlite3.Connection, standing: Standing, profile: Profile, layout: Layout, now: float
) -> Pass:
    """Judge the windows that have closed, oldest first; call it inside a transaction."""
    spans = due(connection, standing, now)
    judged = []
    for span in spans[:MAX_WINDOWS_PER_PASS]:
        total = ledger.total(connection, standing, layout, span)
        judgement = judge(standing.watch, profile, layout, span, total)
        _write(connection, standing, span, judgement)
        if judgement.tested:
            _advance(connection, standing, span, judgement)
        judged.append(judgement)
    if judged:
        _prune(connection, standing)
    return Pass(tuple(judged), complete=len(judged) == len(spans))


def due(connection: sqlite3.Connection, standing: Standing, now: float) -> list[grid.Span]:
    """Return the windows of all scales that have closed and are not judged yet, oldest first."""
    spans: list[grid.Span] = []
    for seconds in standing.watch.windows_seconds:
        after = _judged_until(connection, standing, seconds)
        if now >= after + seconds:
            starts = ledger.bucket_starts(connection, standing, after)
            spans += grid.closed(starts, seconds, after, now)
    return sorted(spans, key=lambda span: (span.end, span.seconds))


def newest(connection: sqlite3.Connection, standing: Standing) -> list[WindowFinding]:
    """Return the newest closed window of each scale, smallest scale first."""
    found = connection.execute(
        "SELECT seconds, max(end), finding FROM windows WHERE watch = ? GROUP BY seconds "
        "ORDER BY seconds",
        (standing.id,),
    )
    scales = standing.watch.windows_seconds
    return [codec.loads(WindowFinding, row["finding"]) for row in found if row["seconds"] in scales]


def problems(connection: sqlite3.Connection, standing: Standing) -> list[QualityProblem]:
    """Return what the newest window with enough rows of any scale found wrong with the data."""
    found: dict[tuple[str, str], QualityProblem] = {}
    for seconds in standing.watch.windows_seconds:
        row = connection.execute(
            "SELECT problems FROM windows WHERE watch = ? AND seconds = ? AND sufficient "
            "ORDER BY end DESC LIMIT 1",
            (standing.id, seconds),
        ).fetchone()
        for item in json.loads(row["problems"]) if row else ():
            problem = codec.decode(QualityProblem, item)
            found.setdefault((problem.feature, problem.kind), problem)
    return list(found.values())


def current(connection: sqlite3.Connection, standing: Standing) -> episode.Track | None:
    """Return the open episode."""
    row = connection.execute(
        "SELECT body FROM episodes WHERE watch = ? AND ended IS NULL", (standing.id,)
    ).fetchone()
    return codec.loads(episode.Track, row["body"]) if row else None


def ended(connection: sqlite3.Connection, standing: Standing) -> tuple[episode.Track, float] | None:
    """Return the latest closed episode and when it ended."""
    row = connection.execute(
        "SELECT body, ended FROM episodes WHERE watch = ? AND ended IS NOT NULL "
        "ORDER BY number DESC LIMIT 1",
        (standing.id,),
    ).fetchone()
    return (codec.loads(episode.Track, row["body"]), row["ended"]) if row else None


def alarms(connection: sqlite3.Connection, standing: Standing, now: float) -> int:
    """Return how many episodes began in the running budget period."""
    since = now - standing.watch.budget_seconds
    row = connection.execute(
        "SELECT count(*) FROM episodes WHERE watch = ? AND began > ?", (standing.id, since)
    )
    return int(row.fetchone()[0])


def _judged_until(connection: sqlite3.Connection, standing: Standing, seconds: int) -> int:
    row = connection.execute(
        "SELECT max(end) FROM windows WHERE watch = ? AND seconds = ?", (standing.id, seconds)
    ).fetchone()
    return int(row[0]) if row[0] is not None else grid.floor(standing.epoch, seconds)


def _write(
    connection: sqlite3.Connection, standing: Standing, span: grid.Span, judgement: Judgement
) -> None:
    connection.execute(
        "INSERT INTO windows (watch, seconds, end, sufficient, tested, hit, quiet, finding, "
        "problems) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            standing.id,
            span.seconds,
            span.end,
            judgement.sufficient,
            judgement.tested,
            judgement.hit,
            judgement.quiet,
            codec.dumps(judgement.finding),
            codec.dumps(judgement.problems),
        ),
    )


def _advance(
    connection: sqlite3.Connection, standing: Standing, span: grid.Span, judgement: Judgement
) -> None:
    before = current(connection, standing)
    recent = {
        seconds: _recent(connection, standing, seconds)
        for seconds in standing.watch.windows_seconds
    }
    given = connection.execute(
        "SELECT episodes FROM watches WHERE id = ?", (standing.id,)
    ).fetchone()["episodes"]
    window = _tested(span, judgement)
    after = episode.advance(before, window, recent, standing.watch.confirm, given + 1)
    if after == before:
        return
    if after is not None:
        _write_track(connection, standing, after, span.end)
    elif before is not None:
        connection.execute(
            "UPDATE episodes SET ended = ? WHERE watch = ? AND number = ?",
            (span.end, standing.id, before.number),
        )


def _tested(span: grid.Span, judgement: Judgement) -> episode.Evidence:
    findings = [each.name for each in judgement.finding.features if each.drifting]
    prediction = judgement.finding.prediction
    if prediction is not None and prediction.drifting:
        findings.append(prediction.name)
    return episode.Evidence(
        seconds=span.seconds,
        end=span.end,
        hit=judgement.hit,
        quiet=judgement.quiet,
        features=tuple(findings),
    )


def _recent(
    connection: sqlite3.Connection, standing: Standing, seconds: int
) -> list[episode.Evidence]:
    found = connection.execute(
        "SELECT end, hit, quiet FROM windows WHERE watch = ? AND seconds = ? AND tested "
        "ORDER BY end DESC LIMIT ?",
        (standing.id, seconds, standing.watch.confirm.confirm_of),
    ).fetchall()
    return [
        episode.Evidence(seconds, row["end"], bool(row["hit"]), bool(row["quiet"]))
        for row in reversed(found)
    ]


def _write_track(
    connection: sqlite3.Connection, standing: Standing, track: episode.Track, began: int
) -> None:
    connection.execute(
        "INSERT INTO episodes (watch, number, began, body) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (watch, number) DO UPDATE SET body = excluded.body",
        (standing.id, track.number, began, codec.dumps(track)),
    )
    connection.execute(
        "UPDATE watches SET episodes = max(episodes, ?) WHERE id = ?", (track.number, standing.id)
    )


def _prune(connection: sqlite3.Connection, standing: Standing) -> None:
    for seconds in standing.watch.windows_seconds:
        connection.execute(
            "DELETE FROM windows WHERE watch = ? AND seconds = ? AND end NOT IN (SELECT end FROM "
            "windows WHERE watch = ? AND seconds = ? ORDER BY end DESC LIMIT ?)",
            (standing.id, seconds, standing.id, seconds, KEPT_WINDOWS),
        )
    connection.execute(
        "DELETE FROM episodes WHERE watch = ? AND ended IS NOT NULL AND number NOT IN "
        "(SELECT number FROM episodes WHERE watch = ? ORDER BY number DESC LIMIT ?)",
        (standing.id, standing.id, KEPT_EPISODES),
    )
