"""The monitor without its network: watches in, snapshots in, windows closed, reports out.

Blocking calls on one database; the web application and the collector call them in worker threads.
The moment is an argument of every call.
"""

import logging
import threading
from dataclasses import dataclass, field

from modelyard_core import codec
from modelyard_core.errors import Rejected, ShapeError
from modelyard_core.reference import Profile
from modelyard_core.sketch import Sketch
from modelyard_core.watch import Episode, EpisodeState, Report, Watch
from modelyard_monitor import closing, ledger, watches
from modelyard_monitor.database import Database
from modelyard_monitor.episode import Track
from modelyard_monitor.judge import Judgement
from modelyard_monitor.layout import Layout
from modelyard_monitor.ledger import Entry, Outcome
from modelyard_monitor.metrics import Metrics
from modelyard_monitor.watches import Standing

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Contact:
    """How the latest round over a watch's pods went; kept in memory, a restart asks anew."""

    at: float | None = None
    pods: int = 0
    failed: int = 0
    error: str = ""


@dataclass(slots=True)
class Monitor:
    """All watches."""

    database: Database
    metrics: Metrics
    max_watches: int = 200
    _contacts: dict[int, Contact] = field(default_factory=dict)
    _profiles: dict[str, tuple[Profile, Layout]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, namespace: str, name: str, watch: Watch, now: float) -> Report:
        """Begin or change a watch and return its report.

        Raises:
            Rejected: a limit is broken, or there are too many watches.
        """
        watches.check(watch)
        with self.database.transaction() as connection:
            before = watches.find(connection, namespace, name)
            if before is None and watches.count(connection) >= self.max_watches:
                raise Rejected("TooManyWatches", f"the monitor keeps {self.max_watches} watches")
            standing = watches.put(connection, namespace, name, watch, now)
            self.metrics.watches.set(watches.count(connection))
        if before is not None and before.watch.reference_digest != watch.reference_digest:
            logger.info("%s/%s: new reference %s", namespace, name, watch.reference_digest)
            self._contacts.pop(before.id, None)
        return self._report(standing, now)

    def report(self, namespace: str, name: str, now: float) -> Report | None:
        """Return what is known of a watch; None where there is none."""
        with self.database.reading() as connection:
            standing = watches.find(connection, namespace, name)
        return self._report(standing, now) if standing else None

    def delete(self, namespace: str, name: str) -> bool:
        """End a watch and forget all of it."""
        with self.database.transaction() as connection:
            gone = watches.delete(connection, namespace, name)
            self.metrics.watches.set(watches.count(connection))
        return gone

    def watches(self) -> list[Standing]:
        """Return all watches."""
        with self.database.reading() as connection:
            return watches.every(connection)

    def read(self, identity: int) -> Standing | None:
        """Return the watch with this id; None where it has been deleted."""
        with self.database.reading() as connection:
            return watches.read(connection, identity)

    def has_profile(self, digest: str) -> bool:
        """Whether the profile of this reference is known."""
        return self._profile(digest) is not None

    def put_profile(self, digest: str, profile: Profile) -> None:
        """Keep the profile of a reference; the first one counts."""
        with self.database.transaction() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO profiles (digest, body) VALUES (?, ?)",
                (digest, codec.dumps(profile)),
            )

    def ingest(self, identity: int, sketch: Sketch, now: float) -> Entry:
        """Count what is new in a snapshot of a pod.

        Raises:
            ShapeError: the sketch does not belong to the profile of the reference.
        """
        with self.database.transaction() as connection:
            standing = watches.read(connection, identity)
            known = self._profile(standing.watch.reference_digest) if standing else None
            if standing is None or known is None:
                return Entry(Outcome.OTHER_DIGEST)
            entry = ledger.ingest(connection, standing, known[1], sketch, now)
        self.metrics.snapshots.labels(entry.outcome).inc()
        self.metrics.rows.inc(entry.rows)
        if entry.outcome is Outcome.WENT_DOWN:
            logger.warning(
                "%s/%s: a count of boot %s went down; its sketch is left out",
                standing.namespace,
                standing.name,
                sketch.boot,
            )
        return entry

    def close_windows(self, identity: int, now: float) -> tuple[Judgement, ...]:
        """Judge the windows of a watch that have closed."""
        with self.database.transaction() as connection:
            standing = watches.read(connection, identity)
            if standing is None or not closing.due(connection, standing, now):
                return ()
            known = self._profile(standing.watch.reference_digest)
            if known is None:
                return ()
            done = closing.close(connection, standing, *known, now)
            if done.complete:
                ledger.prune(connection, standing, now)
        for judgement in done.judged:
            self.metrics.windows.labels(judgement.finding.state).inc()
        return done.judged

    def met(self, identity: int, contact: Contact) -> None:
        """Remember how the latest round over the pods went."""
        self._contacts[identity] = contact

    def _profile(self, digest: str) -> tuple[Profile, Layout] | None:
        with self._lock:
            if digest in self._profiles:
                return self._profiles[digest]
        with self.database.reading() as connection:
            row = connection.execute(
                "SELECT body FROM profiles WHERE digest = ?", (digest,)
            ).fetchone()
        if row is None:
            return None
        profile = codec.loads(Profile, row["body"])
        known = (profile, Layout.of(profile))
        with self._lock:
            if len(self._profiles) >= self.max_watches:
                self._profiles.clear()
            self._profiles[digest] = known
        return known

    def _report(self, standing: Standing, now: float) -> Report:
        contact = self._contacts.get(standing.id, Contact())
        with self.database.reading() as connection:
            return Report(
                at=ledger.as_time(now),
                reference_digest=standing.watch.reference_digest,
                rows_total=standing.rows,
                pods=contact.pods,
                pods_failed=contact.failed,
                last_scrape=None if contact.at is None else ledger.as_time(contact.at),
                windows=tuple(closing.newest(connection, standing)),
                quality=tuple(closing.problems(connection, standing)),
                episode=_episode(
                    closing.current(connection, standing),
                    closing.ended(connection, standing),
                    standing.watch,
                ),
                alarms=closing.alarms(connection, standing, now),
                error=contact.error,
            )


def _episode(
    current: Track | None, ended: tuple[Track, float] | None, watch: Watch
) -> Episode | None:
    """Return the open episode, else the latest one as calm again."""
    if current is not None:
        return Episode(
            number=current.number,
            state=current.state,
            since=ledger.as_time(current.since),
            features=current.features,
            onset=ledger.as_time(current.onset),
            windows_hit=current.hits,
            windows_needed=watch.confirm.confirm_windows,
        )
    if ended is None:
        return None
    track, moment = ended
    return Episode(number=track.number, state=EpisodeState.STABLE, since=ledger.as_time(moment))


def decode_profile(document: object) -> Profile:
    """Return the profile that a pod serves.

    Raises:
        ShapeError: it is not a profile, or one without columns.
    """
    profile = codec.decode(Profile, document)
    for each in (*profile.numeric, profile.prediction):
        if len(each.counts) != len(each.edges) + 1:
            raise ShapeError(f"Profile: {each.name!r} has not one count more than edges")
    return profile
