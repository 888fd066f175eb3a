"""From snapshots to buckets: the rows that a pod has seen since it was last read, counted once.

Sketches are cumulative, so a scrape that is missed costs nothing and one that is repeated adds
nothing.  The last snapshot of a boot is written in the transaction that adds the difference: the
two cannot come apart, whenever the monitor dies.  Rows belong to the moment at which they were read.
"""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import numpy as np

from modelyard_core.roles import Role
from modelyard_core.sketch import Sketch
from modelyard_monitor import grid
from modelyard_monitor.layout import IntArray, Layout, pack, rows, unpack
from modelyard_monitor.watches import Standing

ANSWERED = "answered"
"""The bucket of what clients got from the model: roles stable and direct."""
_BUCKETS = {Role.STABLE: ANSWERED, Role.DIRECT: ANSWERED}

FORGET_BOOTS_AFTER = 7 * 86_400
MAX_BOOTS = 1_024
SEEN_PRECISION = 3_600
"""An idle pod costs no write more often than this, in seconds."""


class Outcome(StrEnum):
    """What became of a snapshot."""

    COUNTED = "counted"
    BASELINE = "baseline"
    """A boot that is older than the watch: what it saw before is not ours to count."""
    OTHER_DIGEST = "other_digest"
    WENT_DOWN = "went_down"
    """A count of the same boot became smaller: a bug in the pod, and not to be trusted."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What one snapshot added."""

    outcome: Outcome
    rows: int = 0


def ingest(
    connection: sqlite3.Connection, standing: Standing, layout: Layout, sketch: Sketch, now: float
) -> Entry:
    """Add what is new in a snapshot; call it inside a transaction.

    Raises:
        ShapeError: the sketch does not belong to the profile.
    """
    if sketch.digest != standing.watch.reference_digest:
        return Entry(Outcome.OTHER_DIGEST)
    moment = max(now, standing.latest)
    roles = [role for role in Role if role in sketch.roles]
    vectors = {role: layout.vector(sketch.roles[role]) for role in roles}
    known = _is_known(connection, standing, sketch)
    deltas = _differences(connection, standing, sketch.boot, vectors, layout)
    if any(delta.min() < 0 for delta in deltas.values()):
        return Entry(Outcome.WENT_DOWN)
    began = _began(sketch, moment)
    changed = {role: vectors[role] for role in roles if deltas[role].any()}
    _write_snapshots(connection, standing, sketch.boot, began, moment, changed)
    if not known and began < standing.horizon:
        return Entry(Outcome.BASELINE)
    if not changed:
        return Entry(Outcome.COUNTED)
    added = sum(_add(connection, standing, role, moment, deltas[role]) for role in changed)
    connection.execute(
        "UPDATE watches SET rows = rows + ?, latest = ? WHERE id = ?", (added, moment, standing.id)
    )
    return Entry(Outcome.COUNTED, added)


def total(
    connection: sqlite3.Connection, standing: Standing, layout: Layout, span: grid.Span
) -> IntArray:
    """Return what was answered in a window."""
    found = connection.execute(
        "SELECT vector FROM buckets WHERE watch = ? AND role = ? AND start >= ? AND start < ?",
        (standing.id, ANSWERED, span.start, span.end),
    )
    sum_ = layout.zero()
    for row in found:
        sum_ += unpack(row["vector"])
    return sum_


def bucket_starts(connection: sqlite3.Connection, standing: Standing, since: int) -> list[int]:
    """Return the buckets of answers that begin at or after a moment."""
    found = connection.execute(
        "SELECT start FROM buckets WHERE watch = ? AND role = ? AND start >= ? ORDER BY start",
        (standing.id, ANSWERED, since),
    )
    return [row["start"] for row in found]


def prune(connection: sqlite3.Connection, standing: Standing, now: float) -> None:
    """Forget buckets whose windows have all closed, and boots that have gone for good."""
    needed = int(now) - max(standing.watch.windows_seconds)
    connection.execute("DELETE FROM buckets WHERE watch = ? AND start < ?", (standing.id, needed))
    gone = connection.execute(
        "SELECT boot, began FROM boots WHERE watch = ? AND (seen < ? OR boot NOT IN "
        "(SELECT boot FROM boots WHERE watch = ? ORDER BY seen DESC LIMIT ?))",
        (standing.id, now - FORGET_BOOTS_AFTER, standing.id, MAX_BOOTS),
    ).fetchall()
    for row in gone:
        connection.execute(
            "DELETE FROM boots WHERE watch = ? AND boot = ?", (standing.id, row["boot"])
        )
        # Should it come back after all, its rows are lost rather than counted twice.
        connection.execute(
            "UPDATE watches SET horizon = max(horizon, ?) WHERE id = ?",
            (np.nextafter(row["began"], np.inf), standing.id),
        )


def _is_known(connection: sqlite3.Connection, standing: Standing, sketch: Sketch) -> bool:
    found = connection.execute(
        "SELECT 1 FROM boots WHERE watch = ? AND boot = ?", (standing.id, sketch.boot)
    )
    return found.fetchone() is not None


def _began(sketch: Sketch, moment: float) -> float:
    """Return when the boot began by our clock: its age is exact, its clock may be off."""
    if sketch.started is None:
        return moment
    return moment - max(0.0, (sketch.at - sketch.started).total_seconds())


def _differences(
    connection: sqlite3.Connection,
    standing: Standing,
    boot: str,
    vectors: Mapping[Role, IntArray],
    layout: Layout,
) -> dict[str, IntArray]:
    found = connection.execute(
        "SELECT role, vector FROM snapshots WHERE watch = ? AND boot = ?", (standing.id, boot)
    )
    last = {row["role"]: unpack(row["vector"]) for row in found}
    zero = layout.zero()
    later = {**{role: zero for role in last}, **vectors}
    return {role: vector - last.get(role, zero) for role, vector in later.items()}


def _write_snapshots(
    connection: sqlite3.Connection,
    standing: Standing,
    boot: str,
    began: float,
    moment: float,
    vectors: Mapping[Role, IntArray],
) -> None:
    connection.execute(
        "INSERT INTO boots (watch, boot, began, seen) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (watch, boot) DO UPDATE SET seen = excluded.seen WHERE excluded.seen > seen + ?",
        (standing.id, boot, began, moment, SEEN_PRECISION),
    )
    connection.executemany(
        "INSERT OR REPLACE INTO snapshots (watch, boot, role, vector) VALUES (?, ?, ?, ?)",
        [(standing.id, boot, role, pack(vector)) for role, vector in vectors.items()],
    )


def _add(
    connection: sqlite3.Connection, standing: Standing, role: Role, moment: float, delta: IntArray
) -> int:
    """Add a difference to its bucket; return the rows that the model answered."""
    if not delta.any():
        return 0
    bucket = _BUCKETS.get(role, role.value)
    key = (standing.id, bucket, grid.floor(moment, standing.bucket))
    before = connection.execute(
        "SELECT vector FROM buckets WHERE watch = ? AND role = ? AND start = ?", key
    ).fetchone()
    sum_ = delta if before is None else delta + unpack(before["vector"])
    connection.execute(
        "INSERT OR REPLACE INTO buckets (watch, role, start, vector) VALUES (?, ?, ?, ?)",
        (*key, pack(sum_)),
    )
    return rows(delta) if bucket == ANSWERED else 0


def as_time(moment: float) -> datetime:
    """Return a moment as the reports carry it."""
    return datetime.fromtimestamp(moment, UTC)
