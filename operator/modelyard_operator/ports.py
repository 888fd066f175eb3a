"""What the decisions may see of the outside world; adapters fill these in, tests use fakes.

Kinds only read.  Everything that is written goes through the actions of a decision.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Protocol

from modelyard_core.errors import ModelyardError
from modelyard_core.routes import RouterCounters, RouterState
from modelyard_core.watch import Report, Watch
from modelyard_operator.api.resources import Obj, Resource


class ApiError(ModelyardError):
    """The Kubernetes API refused, or did not answer (`code` 0)."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        causes: frozenset[str] = frozenset(),
        retry_after: float = 0.0,
    ) -> None:
        super().__init__(f"{code} {reason}: {message}" if code else message)
        self.code = code
        self.reason = reason
        self.message = message
        self.causes = causes
        """Reasons in `status.details.causes`, such as NamespaceTerminating."""
        self.retry_after = retry_after
        """Seconds that the server asked to wait."""


NO_LABELS: Mapping[str, str] = MappingProxyType({})


class Cluster(Protocol):
    """The Kubernetes API, for reading.  Failures are raised and repeat the whole pass."""

    async def get(self, resource: Resource, namespace: str, name: str) -> Obj | None:
        """Return one object, or None where it does not exist."""
        ...

    async def list(
        self, resource: Resource, namespace: str, labels: Mapping[str, str] = NO_LABELS
    ) -> Sequence[Obj]:
        """Return the objects of a namespace that carry all these labels."""
        ...


class Routers(Protocol):
    """The agents beside the routers."""

    async def state(self, address: str) -> RouterState | None:
        """Return what the agent of this pod (its IP address) has applied; None: no answer."""
        ...

    async def counters(self, address: str) -> RouterCounters | None:
        """Return the request counters of this pod (its IP address); None: no answer."""
        ...


class Servers(Protocol):
    """The programs in the serving pods."""

    async def why_not_ready(self, address: str) -> str:
        """Return what this pod (its IP address) says; empty: it is ready, or does not answer."""
        ...


class Monitor(Protocol):
    """The drift monitor service."""

    async def put_watch(self, namespace: str, name: str, watch: Watch) -> Report | None:
        """Tell the monitor what to watch and return its report; None: no answer.

        Raises:
            Rejected: the monitor will not watch this.
        """
        ...

    async def delete_watch(self, namespace: str, name: str) -> None:
        """End a watch; silent where there is none."""
        ...


class Clock(Protocol):
    """The time."""

    def now(self) -> datetime:
        """Return the present moment in UTC."""
        ...


@dataclass(frozen=True, slots=True)
class Images:
    """The images that the operator puts into pods."""

    training: str
    serving: str
    router: str
    pull_policy: str = "IfNotPresent"


@dataclass(frozen=True, slots=True)
class Ports:
    """All that `observe` may use."""

    cluster: Cluster
    routers: Routers
    servers: Servers
    monitor: Monitor
    clock: Clock
    images: Images
    default_store_claim: str = "models"


class Writer(Cluster, Protocol):
    """The Kubernetes API, for the shell.  Everything raises `ApiError` when refused."""

    async def create(self, obj: Obj) -> Obj:
        """Create an object; fails where the name is taken."""
        ...

    async def apply(self, obj: Obj) -> Obj:
        """Server-side apply an object by force as this operator's field manager."""
        ...

    async def apply_status(self, obj: Obj) -> Obj:
        """Server-side apply `status`; fails where the given resourceVersion has moved on."""
        ...

    async def annotate(
        self, resource: Resource, namespace: str, name: str, annotations: Mapping[str, str]
    ) -> None:
        """Merge annotations into an object; silent where it is gone."""
        ...

    async def delete(self, resource: Resource, namespace: str, name: str, uid: str) -> None:
        """Delete an object with this uid in the background; silent where it is gone."""
        ...
