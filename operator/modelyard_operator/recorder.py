"""Kubernetes Events, sparingly: each sentence once, and a few sentences of one reason, in five minutes.

The name of an event is derived from what it says and when, so a pass that is repeated after a
crash, or by another replica, finds its event already there.
"""

import logging
from collections import OrderedDict
from typing import Protocol

from modelyard_core.canonical import digest_value, short_hash
from modelyard_operator.actions import Emit
from modelyard_operator.api import resources
from modelyard_operator.api.base import CustomResource
from modelyard_operator.api.resources import Obj
from modelyard_operator.ports import ApiError, Clock

log = logging.getLogger(__name__)

QUIET_SECONDS = 300
MAX_NOTES = 8
"""Events of one object and reason in that time: the steps of a fast rollout, but no flood."""
MAX_NOTE_LENGTH = 1024
_REMEMBERED = 4096
_CONFLICT = 409


class EventSink(Protocol):
    """Where events go."""

    async def create(self, obj: Obj) -> Obj:
        """Create the event; fails where it exists."""
        ...


class Recorder:
    """Writes the events of this process.  Losing one is never an error of a reconcile."""

    def __init__(self, sink: EventSink, clock: Clock, instance: str) -> None:
        self._sink = sink
        self._clock = clock
        self._instance = instance
        self._told: OrderedDict[tuple[str, str], dict[str, float]] = OrderedDict()

    async def record(self, about: CustomResource, emit: Emit) -> None:
        """Write one event, unless the same was told of this object just now."""
        if not self._is_news((about.metadata.uid, emit.reason), emit.note):
            return
        try:
            await self._sink.create(self._event(about, emit))
        except ApiError as error:
            if error.code != _CONFLICT:
                log.warning("event %s of %s was lost: %s", emit.reason, about.metadata.name, error)

    def _is_news(self, topic: tuple[str, str], note: str) -> bool:
        now = self._clock.now().timestamp()
        told = self._told.get(topic, {})
        recent = {text: at for text, at in told.items() if now - at < QUIET_SECONDS}
        is_news = note not in recent and len(recent) < MAX_NOTES
        self._told[topic] = recent | {note: now} if is_news else recent
        self._told.move_to_end(topic)
        if len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)
        return is_news

    def _event(self, about: CustomResource, emit: Emit) -> Obj:
        now = self._clock.now()
        window = int(now.timestamp() // QUIET_SECONDS)
        digits = short_hash(digest_value([about.metadata.uid, emit.reason, emit.note, window]))
        return {
            "apiVersion": resources.EVENT.api_version,
            "kind": resources.EVENT.kind,
            "metadata": {
                "name": f"{about.metadata.name}.{digits}",
                "namespace": about.metadata.namespace,
            },
            "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "type": emit.type,
            "reason": emit.reason,
            "action": "Reconcile",
            "note": emit.note[:MAX_NOTE_LENGTH],
            "reportingController": "modelyard.dev/operator",
            "reportingInstance": self._instance,
            "regarding": {
                "apiVersion": about.RESOURCE.api_version,
                "kind": about.RESOURCE.kind,
                "namespace": about.metadata.namespace,
                "name": about.metadata.name,
                "uid": about.metadata.uid,
            },
        }
