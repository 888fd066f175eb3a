"""The loop: one table after the other, applied in the order that loses no request.

Added clusters are published and warm before routes name them; removed ones stay until no route
names them and no request is in them.  Every wait ends when the file changes, so that the table of
an abort is never behind one that waits for an address.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from modelyard_core import codec
from modelyard_core.errors import ShapeError, Unavailable
from modelyard_core.routes import RouterCounters, RouterState, RouteTable
from modelyard_router import clock, envoy_config, table
from modelyard_router.admin import EnvoyAdmin
from modelyard_router.envoy_config import Json, Ports
from modelyard_router.ledger import Ledger, counters, is_busy
from modelyard_router.settings import Settings
from modelyard_router.waiting import NOT_YET, until
from modelyard_router.xds_folder import XdsFolder

log = logging.getLogger(__name__)

POLL_SECONDS = 0.05
TEND_SECONDS = 1.0
APPLY_SECONDS = 5.0
IDLE_SECONDS = 2.0
"""How long a cluster must be out of the routes before it goes."""
FORGET_SECONDS = 5.0
"""How long Envoy may take to forget a removed cluster's numbers."""


class Agent:
    """What one router pod knows and does."""

    def __init__(self, settings: Settings) -> None:
        self.state = RouterState()
        self._settings = settings
        self._ports = Ports(settings.serving_port, settings.serving_grpc_port)
        self._envoy = EnvoyAdmin(settings.admin_port)
        self._folder = XdsFolder(settings.xds)
        self._ledger = _load_ledger(self._folder.read_ledger())
        self._ledger_lock = threading.Lock()
        self._live: dict[str, Json] = {}
        """The published clusters."""
        self._wanted: frozenset[str] | None = None
        """Those of the applied table."""
        self._confirmed: list[Json] | None = None
        """The routes that Envoy has confirmed last."""
        self._leaving: set[str] = set()
        """Removed clusters whose numbers Envoy still had at the last look."""
        self._unused_since = time.monotonic()
        self._handled: str | None = None
        """The table text that needs no more work."""
        self._resume()

    def run(self, stop: threading.Event) -> None:
        """Apply every table that appears, until told to stop."""
        tended = time.monotonic()
        while not stop.wait(POLL_SECONDS):
            text = self._read()
            if text is not None and text != self._handled:
                self._handled = text if self._handle(text) else None
            if time.monotonic() - tended > TEND_SECONDS:
                tended = time.monotonic()
                self._tend()

    def counters(self) -> RouterCounters:
        """Return exact counts per cluster.

        Raises:
            OSError: Envoy does not answer.
        """
        with self._ledger_lock:
            reading = {name: counters(raw) for name, raw in self._envoy.counts().items()}
            self._ledger = self._ledger.observe(self._envoy.boot(), reading)
            return RouterCounters(self._ledger.boot, clock.now(), self._ledger.totals())

    def _resume(self) -> None:
        """Go on from what the folder holds: an agent may restart beside a running Envoy."""
        clusters, routes = self._folder.clusters(), self._folder.routes()
        if clusters is None or routes is None:
            self._folder.publish_clusters({})
            self._folder.publish_routes(envoy_config.no_routes())
            return
        self._live, self._confirmed = clusters, routes
        if applied := until(self._envoy.applied, 2):
            self.state = replace(self.state, applied=applied.version)

    def _read(self) -> str | None:
        try:
            return self._settings.routes_file.read_text()
        except (OSError, UnicodeDecodeError):
            return None

    def _handle(self, text: str) -> bool:
        """Return whether nothing more can be done for this text."""
        before = self.state
        try:
            self._apply(text)
        except table.InvalidTable as error:
            self.state = replace(self.state, waiting="", error=str(error))
        except Unavailable as error:
            self.state = replace(self.state, waiting=error.sentence, error="")
        except NOT_YET as error:
            self.state = replace(self.state, waiting=f"Envoy does not answer: {error}", error="")
        if self.state != before:
            log.info("routes", extra={"document": codec.encode(self.state)})
        return not self.state.waiting

    def _apply(self, text: str) -> None:
        wish = table.parse(text)
        self.state = replace(self.state, desired=wish.version)
        wanted = envoy_config.clusters(wish, self._ports)

        def replaced() -> bool:
            return self._read() not in (None, text)

        rejections, before = self._envoy.rejections(), self._live
        try:
            self._add_clusters(wanted)
            self._await_addresses(wish, wanted, rejections, replaced)
            self._switch_routes(wish, rejections, replaced)
        except table.InvalidTable:
            # what Envoy refused once would be refused beside every later table
            self._live = before
            self._folder.publish_clusters(before)
            raise
        self._wanted, self._unused_since = frozenset(wanted), time.monotonic()
        self.state = RouterState(desired=wish.version, applied=wish.version)

    def _add_clusters(self, wanted: Mapping[str, Json]) -> None:
        following = {**self._live, **wanted}
        if following != self._live:
            if self._leaving & set(wanted):
                # its numbers begin anew: the last ones must have been seen to end
                until(lambda: self._are_forgotten(self._leaving), FORGET_SECONDS)
            self._live = following
            self._folder.publish_clusters(following)

    def _await_addresses(
        self,
        wish: RouteTable,
        wanted: Mapping[str, Json],
        rejections: int,
        interrupted: Callable[[], bool],
    ) -> None:
        """Wait until every cluster is known and those with traffic have an address.

        A starting router needs stable's only: a dead canary must not keep it down.
        """
        needed = envoy_config.clusters_with_traffic(wish)
        if self.state.applied is None:
            needed = list(envoy_config.clusters_of(wish.stable))

        def warm() -> bool:
            self._refuse_if_rejected(rejections)
            known = self._envoy.addresses()
            return all(name in known for name in wanted) and all(known[name] for name in needed)

        if not until(warm, self._settings.warm_seconds, interrupted):
            known = self._envoy.addresses()
            missing = {name for name in wanted if name not in known}
            missing |= {name for name in needed if not known.get(name)}
            hosts = {envoy_config.host(wanted[name]) for name in missing}
            raise Unavailable("no address for " + ", ".join(sorted(hosts)))

    def _switch_routes(
        self, wish: RouteTable, rejections: int, interrupted: Callable[[], bool]
    ) -> None:
        routes = envoy_config.routes(wish)
        content = envoy_config.content_version(routes)

        def confirmed() -> bool:
            applied = self._envoy.applied()
            return applied is not None and applied.content == content

        self._folder.publish_routes(routes)
        if until(confirmed, APPLY_SECONDS, interrupted):
            self._confirmed = routes
            return
        if self._confirmed is not None:
            # an Envoy that restarts must find routes that work
            self._folder.publish_routes(self._confirmed)
        self._refuse_if_rejected(rejections)
        raise Unavailable(f"Envoy has not confirmed version {wish.version}")

    def _refuse_if_rejected(self, rejections: int) -> None:
        if self._envoy.rejections() > rejections:
            raise table.InvalidTable("Envoy refused the configuration; its log says why")

    def _tend(self) -> None:
        try:
            self._check_applied()
            self._sweep()
        except NOT_YET as error:
            log.debug("Envoy does not answer: %s", error)

    def _check_applied(self) -> None:
        """Notice an Envoy that restarted into other routes, and apply the table again."""
        applied = self._envoy.applied()
        version = applied.version if applied is not None else None
        if version != self.state.applied:
            self.state = replace(self.state, applied=version)
            self._handled = None

    def _sweep(self) -> None:
        """Remove the clusters that no route names and no request is in.

        The ledger is kept before Envoy forgets their numbers, so that an agent that dies in between
        still knows them.
        """
        unused = set(self._live) - self._wanted if self._wanted is not None else set()
        if not unused or time.monotonic() - self._unused_since < IDLE_SECONDS:
            return
        counts = self._envoy.counts()
        idle = {name for name in unused if name not in counts or not is_busy(counts[name])}
        if not idle:
            return
        self.counters()
        self._save_ledger()
        self._live = {name: body for name, body in self._live.items() if name not in idle}
        self._folder.publish_clusters(self._live)
        self._leaving = idle
        text = self._read()
        until(lambda: self._are_forgotten(idle), FORGET_SECONDS, lambda: self._read() != text)
        self._save_ledger()
        log.info("clusters removed", extra={"document": {"clusters": sorted(idle)}})

    def _are_forgotten(self, names: set[str]) -> bool:
        self.counters()
        self._leaving = names & set(self._ledger.seen)
        return not self._leaving

    def _save_ledger(self) -> None:
        with self._ledger_lock:
            self._folder.write_ledger(codec.dumps(self._ledger))


def _load_ledger(text: str | None) -> Ledger:
    try:
        return codec.loads(Ledger, text) if text is not None else Ledger()
    except ShapeError:
        log.warning("the ledger cannot be read; counting begins anew")
        return Ledger()
