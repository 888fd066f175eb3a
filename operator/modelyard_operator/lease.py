"""Leader election by a Lease: one replica works, the other takes over.

Only the monotonic clock of this process counts: a foreign lease has expired when its record has
not changed for its duration *as seen here*, so clocks that differ do no harm.  A leader that
could not renew for `renew_deadline` ends its process; it never pauses.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from modelyard_operator.api import resources
from modelyard_operator.api.resources import Obj
from modelyard_operator.ports import ApiError, Clock
from modelyard_operator.work_queue import jittered

log = logging.getLogger(__name__)


class Leases(Protocol):
    """The part of the Kubernetes API that the election needs."""

    async def get(self, resource: resources.Resource, namespace: str, name: str) -> Obj | None:
        """Return the lease, or None."""
        ...

    async def create(self, obj: Obj) -> Obj:
        """Create the lease; fails where it exists."""
        ...

    async def replace(self, obj: Obj) -> Obj:
        """Write the lease; fails where its resourceVersion has moved on."""
        ...


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds.  The deadline is shorter than the duration: a leader stops before it is replaced."""

    duration: float = 15.0
    renew_deadline: float = 10.0
    retry_period: float = 2.0
    release_timeout: float = 2.0


class Lease:
    """This replica's view of the lease."""

    def __init__(  # noqa: PLR0913 (collaborators)
        self,
        leases: Leases,
        clock: Clock,
        monotonic: Callable[[], float],
        *,
        namespace: str,
        name: str,
        identity: str,
        timing: Timing | None = None,
    ) -> None:
        self._leases = leases
        self._clock = clock
        self._monotonic = monotonic
        self._namespace, self._name, self._identity = namespace, name, identity
        self._timing = timing or Timing()
        self._seen: tuple[str, str] | None = None
        self._seen_at = 0.0
        self._renewed_at: float | None = None

    @property
    def age(self) -> float | None:
        """Seconds since the last renewal; None while this replica does not lead."""
        return None if self._renewed_at is None else self._monotonic() - self._renewed_at

    def is_held(self) -> bool:
        """Return whether this replica may write: it renewed within the deadline."""
        age = self.age
        return age is not None and age <= self._timing.renew_deadline

    async def attempt(self) -> bool:
        """Take or renew the lease once; return whether this replica holds it.

        Raises:
            ApiError: the API server refused; a conflict means that another replica was faster.
        """
        started = self._monotonic()
        live = await self._leases.get(resources.LEASE, self._namespace, self._name)
        if live is None:
            await self._leases.create(self._document({}, taken=True))
        elif self._is_foreign(live):
            return False
        else:
            taken = live.get("spec", {}).get("holderIdentity") != self._identity
            await self._leases.replace(self._document(live, taken=taken))
        self._renewed_at = started
        return True

    def _is_foreign(self, live: Obj) -> bool:
        spec = live.get("spec", {})
        holder = spec.get("holderIdentity") or ""
        record = (holder, spec.get("renewTime") or "")
        if record != self._seen:
            self._seen, self._seen_at = record, self._monotonic()
        if holder in ("", self._identity):
            return False
        duration = spec.get("leaseDurationSeconds") or self._timing.duration
        return self._monotonic() - self._seen_at < duration

    def _document(self, live: Obj, *, taken: bool, released: bool = False) -> Obj:
        spec = live.get("spec", {})
        now = self._clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        changed = {
            "holderIdentity": "" if released else self._identity,
            "leaseDurationSeconds": 1 if released else int(self._timing.duration),
            "renewTime": now,
        }
        if taken:
            transitions = spec.get("leaseTransitions") or 0
            changed |= {"acquireTime": now, "leaseTransitions": transitions + bool(live)}
        return {
            "apiVersion": resources.LEASE.api_version,
            "kind": resources.LEASE.kind,
            "metadata": live.get("metadata") or {"name": self._name, "namespace": self._namespace},
            "spec": spec | changed,
        }

    async def acquire(self) -> None:
        """Wait until this replica leads."""
        while not await self._bounded(self.attempt):  # noqa: ASYNC110 (the event is far away)
            await asyncio.sleep(jittered(self._timing.retry_period, 0.2))

    async def hold(self) -> None:
        """Renew until the lease is lost; then return."""
        while self.is_held():
            await asyncio.sleep(self._timing.retry_period)
            # A process that was frozen must not write again before it has seen that it lost.
            if self.is_held() and not await self._bounded(self.attempt):
                log.warning("the lease was not renewed")

    async def _bounded(self, call: Callable[[], Awaitable[bool]]) -> bool:
        """Return False instead of failing, and never take longer than two periods."""
        try:
            async with asyncio.timeout(self._timing.retry_period * 2):
                return await call()
        except (ApiError, TimeoutError) as error:
            log.info("lease: %s", str(error) or type(error).__name__)
            return False

    async def release(self) -> None:
        """Let another replica take over at once."""
        if self._renewed_at is None:
            return
        self._renewed_at = None
        try:
            async with asyncio.timeout(self._timing.release_timeout):
                live = await self._leases.get(resources.LEASE, self._namespace, self._name)
                if live and live.get("spec", {}).get("holderIdentity") == self._identity:
                    await self._leases.replace(self._document(live, taken=False, released=True))
        except (ApiError, TimeoutError) as error:
            log.warning("the lease was not released: %s", str(error) or type(error).__name__)
