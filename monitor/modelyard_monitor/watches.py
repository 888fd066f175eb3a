"""The table of watches: what the operator asked for, and where each one stands."""

import re
import sqlite3
from dataclasses import dataclass
from itertools import pairwise

from modelyard_core import codec
from modelyard_core.errors import Rejected
from modelyard_core.watch import Watch
from modelyard_monitor import grid

MINUTE = 60
MAX_SCALES = 6
MAX_TARGETS = 8
MAX_EXCLUDED = 256
MAX_CONFIRM = 10
MAX_BUCKETS = 43_200
"""Buckets in the longest window: 30 days of minutes."""
HOST = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
MAX_PORT = 65_535


@dataclass(frozen=True, slots=True)
class Standing:
    """One watch and where it stands."""

    id: int
    namespace: str
    name: str
    watch: Watch
    epoch: float
    latest: float
    horizon: float
    rows: int
    episodes: int

    @property
    def bucket(self) -> int:
        """The size of its buckets in seconds."""
        return grid.bucket_seconds(self.watch.windows_seconds)


def check(watch: Watch) -> None:
    """Refuse a watch that cannot be kept.

    Raises:
        Rejected: a limit is broken; the sentence names it.
    """
    for holds, sentence in _limits(watch):
        if not holds:
            raise Rejected("InvalidWatch", sentence)


def _limits(watch: Watch) -> list[tuple[bool, str]]:
    windows, confirm = watch.windows_seconds, watch.confirm
    usable = bool(windows) and all(w >= MINUTE and w % MINUTE == 0 for w in windows)
    return [
        (usable, "every window must be a whole number of minutes"),
        (len(windows) <= MAX_SCALES, f"at most {MAX_SCALES} windows"),
        (all(a < b for a, b in pairwise(windows)), "windows must grow"),
        (
            not usable or max(windows) <= MAX_BUCKETS * grid.bucket_seconds(windows),
            f"the longest window must have at most {MAX_BUCKETS} buckets",
        ),
        (0 < len(watch.targets) <= MAX_TARGETS, f"1 to {MAX_TARGETS} targets"),
        (all(HOST.fullmatch(t.host) for t in watch.targets), "a target's host must be a DNS name"),
        (all(0 < t.port <= MAX_PORT for t in watch.targets), "a target's port must be a port"),
        (watch.budget > 0 and watch.budget_seconds >= MINUTE, "the budget must be more than 0"),
        (watch.min_rows >= 1, "minRows must be at least 1"),
        (watch.feature_effect > 0 and watch.prediction_effect > 0, "effects must be more than 0"),
        (len(watch.exclude) <= MAX_EXCLUDED, f"at most {MAX_EXCLUDED} excluded features"),
        (
            1 <= confirm.confirm_windows <= confirm.confirm_of <= MAX_CONFIRM,
            f"confirm needs 1 to {MAX_CONFIRM} windows, of at least as many",
        ),
    ]


def find(connection: sqlite3.Connection, namespace: str, name: str) -> Standing | None:
    """Return one watch, or None."""
    row = connection.execute(
        "SELECT * FROM watches WHERE namespace = ? AND name = ?", (namespace, name)
    ).fetchone()
    return _standing(row) if row else None


def read(connection: sqlite3.Connection, identity: int) -> Standing | None:
    """Return the watch with this id, or None where it has been deleted."""
    row = connection.execute("SELECT * FROM watches WHERE id = ?", (identity,)).fetchone()
    return _standing(row) if row else None


def every(connection: sqlite3.Connection) -> list[Standing]:
    """Return all watches."""
    return [_standing(row) for row in connection.execute("SELECT * FROM watches ORDER BY id")]


def count(connection: sqlite3.Connection) -> int:
    """Return how many watches there are."""
    return int(connection.execute("SELECT count(*) FROM watches").fetchone()[0])


def put(
    connection: sqlite3.Connection, namespace: str, name: str, watch: Watch, now: float
) -> Standing:
    """Write a watch: a new one, one that changed, or one that has a new reference.

    A new reference closes the episode and starts new windows: counts of two profiles never meet.
    """
    before = find(connection, namespace, name)
    if before is not None and before.watch.uid != watch.uid:
        delete(connection, namespace, name)
        before = None
    if before is None:
        _insert(connection, namespace, name, watch, now)
    elif before.watch != watch:
        _update(connection, before, watch, now)
    written = find(connection, namespace, name)
    if written is None:
        raise AssertionError("a watch that was just written is there")
    return written


def delete(connection: sqlite3.Connection, namespace: str, name: str) -> bool:
    """Delete a watch with all that belongs to it; False where there is none."""
    gone = connection.execute(
        "DELETE FROM watches WHERE namespace = ? AND name = ?", (namespace, name)
    ).rowcount
    _forget_profiles(connection)
    return gone > 0


def _insert(
    connection: sqlite3.Connection, namespace: str, name: str, watch: Watch, now: float
) -> None:
    connection.execute(
        "INSERT INTO watches (namespace, name, uid, body, digest, epoch, latest, horizon, rows, "
        "episodes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, ?)",
        (
            namespace,
            name,
            watch.uid,
            codec.dumps(watch),
            watch.reference_digest,
            now,
            now,
            now,
            watch.episode_floor,
        ),
    )


def _update(connection: sqlite3.Connection, before: Standing, watch: Watch, now: float) -> None:
    connection.execute(
        "UPDATE watches SET body = ?, digest = ?, episodes = max(episodes, ?) WHERE id = ?",
        (codec.dumps(watch), watch.reference_digest, watch.episode_floor, before.id),
    )
    if before.watch.reference_digest == watch.reference_digest:
        return
    moment = max(now, before.latest)
    for table in ("boots", "buckets", "windows"):
        connection.execute(f"DELETE FROM {table} WHERE watch = ?", (before.id,))  # noqa: S608
    connection.execute(
        "UPDATE episodes SET ended = ? WHERE watch = ? AND ended IS NULL", (moment, before.id)
    )
    connection.execute(
        "UPDATE watches SET epoch = ?, latest = ?, horizon = ?, rows = 0 WHERE id = ?",
        (moment, moment, moment, before.id),
    )
    _forget_profiles(connection)


def _forget_profiles(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM profiles WHERE digest NOT IN (SELECT digest FROM watches)")


def _standing(row: sqlite3.Row) -> Standing:
    return Standing(
        id=row["id"],
        namespace=row["namespace"],
        name=row["name"],
        watch=codec.loads(Watch, row["body"]),
        epoch=row["epoch"],
        latest=row["latest"],
        horizon=row["horizon"],
        rows=row["rows"],
        episodes=row["episodes"],
    )
