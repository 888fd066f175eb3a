"""kopf as informer: every event becomes the keys of the objects that must look again.

A handler only adds to the queue; kopf neither retries it nor keeps any state on objects.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import kopf

from modelyard_operator import children, naming
from modelyard_operator.api import resources
from modelyard_operator.api.resources import Obj, Resource
from modelyard_operator.kind import Key, Kind
from modelyard_operator.work_queue import WorkQueue

AnyKind = Kind[Any, Any]

_LABELS = {
    naming.TRAINING_LABEL: resources.MODEL_TRAINING.kind,
    naming.DEPLOYMENT_LABEL: resources.MODEL_DEPLOYMENT.kind,
}


class Readers:
    """Who must look again when an object changes, as of the last event of each reader.

    Only makes things faster: what is missed here is found by the resync.
    """

    def __init__(self) -> None:
        self._reads: dict[Key, frozenset[Key]] = {}
        self._readers: defaultdict[Key, set[Key]] = defaultdict(set)

    def learn(self, reader: Key, reads: Iterable[Key]) -> None:
        """Remember what one object reads, in place of what it read before."""
        before, after = self._reads.pop(reader, frozenset()), frozenset(reads)
        for key in before - after:
            self._readers[key].discard(reader)
            if not self._readers[key]:
                del self._readers[key]
        for key in after:
            self._readers[key].add(reader)
        if after:
            self._reads[reader] = after

    def of(self, key: Key) -> Iterator[Key]:
        """Yield the readers of an object."""
        yield from self._readers.get(key, ())


class Wakeups:
    """Turns what was seen into keys."""

    def __init__(self, kinds: Mapping[str, AnyKind], queue: WorkQueue) -> None:
        self._kinds = kinds
        self._queue = queue
        self._readers = Readers()

    def saw(self, obj: Obj, *, deleted: bool) -> None:
        """Wake an object of ours, those that read it, and those that it touches."""
        kind = self._kinds[obj["kind"]]
        key = Key(obj["kind"], obj["metadata"]["namespace"], obj["metadata"]["name"])
        self._readers.learn(key, () if deleted else kind.reads(obj))
        for woken in (key, *kind.touches(obj)):
            self._queue.add(woken)
            for reader in self._readers.of(woken):
                self._queue.add(reader)

    def saw_child(self, obj: Obj) -> None:
        """Wake the owner of a child."""
        if (key := owner_of(obj)) is not None and key.kind in self._kinds:
            self._queue.add(key)


def owner_of(child: Obj) -> Key | None:
    """Return the object of ours that a child belongs to: by its controller, else by its labels."""
    namespace = child["metadata"]["namespace"]
    owner = children.controller(child)
    if owner is not None and owner["apiVersion"].startswith(f"{resources.GROUP}/"):
        return Key(owner["kind"], namespace, owner["name"])
    labels = child["metadata"].get("labels") or {}
    return next(
        (Key(kind, namespace, labels[label]) for label, kind in _LABELS.items() if label in labels),
        None,
    )


def register(
    registry: kopf.OperatorRegistry,
    kinds: Mapping[str, AnyKind],
    wakeups: Wakeups,
    connection: Callable[[], kopf.ConnectionInfo],
) -> None:
    """Watch our kinds and their children."""

    @kopf.on.login(registry=registry)
    async def login(**_: object) -> kopf.ConnectionInfo:
        return connection()

    for kind in kinds.values():
        _watch_own(registry, kind.model.RESOURCE, wakeups)
    for resource in watched_children(kinds):
        _watch_child(registry, resource, wakeups)


def watched_children(kinds: Mapping[str, AnyKind]) -> list[Resource]:
    """Return the kinds of children, each once."""
    return list(dict.fromkeys(r for kind in kinds.values() for r in kind.children))


def _watch_own(registry: kopf.OperatorRegistry, resource: Resource, wakeups: Wakeups) -> None:
    @kopf.on.event(resource.group, resource.version, resource.plural, id="seen", registry=registry)
    async def seen(body: kopf.Body, type: str | None, **_: object) -> None:  # noqa: A002 (kopf's name)
        wakeups.saw({"kind": resource.kind, **body}, deleted=type == "DELETED")


def _watch_child(registry: kopf.OperatorRegistry, resource: Resource, wakeups: Wakeups) -> None:
    @kopf.on.event(
        resource.group,
        resource.version,
        resource.plural,
        id="child-seen",
        labels=naming.MANAGED_BY,
        registry=registry,
    )
    async def child_seen(body: kopf.Body, **_: object) -> None:
        wakeups.saw_child({"kind": resource.kind, **body})


def informer_settings(watched: Iterable[Resource]) -> kopf.OperatorSettings:
    """Return kopf's settings for an informer that never gives up and never writes."""
    settings = kopf.OperatorSettings()
    # kopf strips its own finalizer from whatever it watches: give it a name nobody uses.
    settings.persistence.finalizer = f"kopf.{resources.GROUP}/unused"
    settings.peering.standalone = True
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.networking.error_backoffs = Endless()
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    # Integers: the value is sent as it prints, and 290.0 is no valid timeoutSeconds.
    settings.watching.server_timeout = 290
    settings.watching.client_timeout = 300
    settings.watching.connect_timeout = 5
    settings.watching.reconnect_backoff = 1.0
    settings.queueing.idle_timeout = 1.0
    settings.process.ultimate_exiting_timeout = 20
    selector = ",".join(f"{label}={value}" for label, value in naming.MANAGED_BY.items())
    for resource in watched:
        settings.watching.label_selectors[resource.group, resource.version, resource.plural] = (
            selector
        )
    return settings


class Endless:
    """The waits between attempts to reach the API server: growing to 30 s, and never ending."""

    _GROWING = (1, 2, 4, 8, 15)

    def __iter__(self) -> Iterator[float]:
        yield from self._GROWING
        while True:
            yield 30
