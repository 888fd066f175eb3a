"""The shell: observe → decide → act → status, once, for any kind.

    read the object ──► gone or deleted: nothing (children go by owner reference)
          │
    decode the spec ──► cannot: condition InvalidSpec, and wait for another spec
          │
    observe, decide     the kind's own functions
          │
    act, in order   ──► refused by policy or by a foreign owner: condition, and look again later
          │
    status, only if it differs, and only if nobody else has written meanwhile

A crash after any of the writes leads to the same end, because the next pass reads the world anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, assert_never

from pydantic import ValidationError

from modelyard_core.errors import Rejected
from modelyard_operator import children
from modelyard_operator.actions import Action, Apply, Create, Decision, Delete, Emit, Poke
from modelyard_operator.api import conditions, resources
from modelyard_operator.api.base import CustomResource
from modelyard_operator.api.conditions import Claim, Truth
from modelyard_operator.api.resources import Obj, Resource
from modelyard_operator.kind import Key, Kind
from modelyard_operator.naming import ROUTES_ANNOTATION
from modelyard_operator.ports import ApiError, Ports, Writer
from modelyard_operator.recorder import Recorder

AnyKind = Kind[Any, Any]

_FORBIDDEN = 403
_UNPROCESSABLE = 422
_TERMINATING = "NamespaceTerminating"


class Result(StrEnum):
    """How a pass ended."""

    SUCCESS = "success"
    GONE = "gone"
    """There is nothing to do for this object any more."""
    INVALID = "invalid"
    """Only another spec can help."""
    BLOCKED = "blocked"
    """The API server or a foreign object stands in the way; worth another try, slowly."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a pass leaves to the queue."""

    result: Result
    requeue_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class _Obstacle:
    """Why the actions stopped."""

    reason: str
    sentence: str


class Shell:
    """Runs passes.  Nothing is remembered between two of them."""

    def __init__(
        self, kinds: Mapping[str, AnyKind], ports: Ports, writer: Writer, recorder: Recorder
    ) -> None:
        self._kinds = kinds
        self._ports = ports
        self._writer = writer
        self._recorder = recorder

    async def reconcile(self, key: Key) -> Outcome:
        """Bring one object closer to its spec.

        Raises:
            ApiError: the API server did not answer or refused; the pass is to be repeated.
            Unavailable: another program must change first.
        """
        kind = self._kinds[key.kind]
        live = await self._writer.get(kind.model.RESOURCE, key.namespace, key.name)
        if live is None or live["metadata"].get("deletionTimestamp"):
            if live is None and kind.forget is not None:
                await kind.forget(key, self._ports)
            return Outcome(Result.GONE)
        try:
            model = decoded(kind.model, live)
            decision = kind.decide(model, await kind.observe(model, self._ports))
        except Rejected as error:
            await self._reject(kind, live, error)
            return Outcome(Result.INVALID)
        return await self._carry_out(model, live, decision)

    async def _carry_out(self, model: CustomResource, live: Obj, decision: Decision) -> Outcome:
        obstacle = await self._act(model, decision.actions)
        if obstacle is None:
            await self._report(model.RESOURCE, live, decision.status)
            return Outcome(Result.SUCCESS, decision.requeue_after)
        claim = Claim("Stalled", Truth.TRUE, obstacle.reason, obstacle.sentence)
        status = conditions.overlay(
            decision.status,
            [claim],
            before=live.get("status", {}),
            generation=model.metadata.generation,
            now=self._ports.clock.now(),
        )
        await self._report(model.RESOURCE, live, status)
        return Outcome(Result.BLOCKED, decision.requeue_after)

    async def _act(self, model: CustomResource, actions: tuple[Action, ...]) -> _Obstacle | None:
        """Do what was decided, in order, up to the first obstacle."""
        for action in actions:
            try:
                await self._do(model, action)
            except children.ForeignOwner as error:
                return _Obstacle("Conflict", str(error))
            except ApiError as error:
                if error.code not in (_FORBIDDEN, _UNPROCESSABLE):
                    raise
                reason = "NamespaceTerminating" if _TERMINATING in error.causes else "Denied"
                return _Obstacle(reason, error.message)
        return None

    async def _do(self, model: CustomResource, action: Action) -> None:
        match action:
            case Create(obj):
                await children.create(self._writer, obj)
            case Apply(obj):
                await children.apply(self._writer, obj)
            case Delete(resource, namespace, name, uid):
                await self._writer.delete(resource, namespace, name, uid)
            case Poke(namespace, pods, value):
                for pod in pods:
                    await self._writer.annotate(
                        resources.POD, namespace, pod, {ROUTES_ANNOTATION: value}
                    )
            case Emit():
                await self._recorder.record(model, action)
            case unreachable:
                assert_never(unreachable)

    async def _reject(self, kind: AnyKind, live: Obj, error: Rejected) -> None:
        claims = [
            Claim(kind.headline, Truth.FALSE, error.reason, error.sentence),
            Claim("Stalled", Truth.TRUE, error.reason, error.sentence),
        ]
        before = live.get("status", {})
        status = conditions.overlay(
            before | {"summary": error.sentence},
            claims,
            before=before,
            generation=live["metadata"].get("generation", 1),
            now=self._ports.clock.now(),
        )
        await self._report(kind.model.RESOURCE, live, status)

    async def _report(self, resource: Resource, live: Obj, status: Obj) -> None:
        """Write the status where it differs; a write since our reading refuses it."""
        if status == live.get("status", {}):
            return
        metadata = live["metadata"]
        await self._writer.apply_status(
            {
                "apiVersion": resource.api_version,
                "kind": resource.kind,
                "metadata": {
                    "name": metadata["name"],
                    "namespace": metadata["namespace"],
                    "resourceVersion": metadata["resourceVersion"],
                },
                "status": status,
            }
        )


def decoded(model: type[CustomResource], live: Obj) -> CustomResource:
    """Return the object as its model.

    A status that does not decode is dropped: it is ours, and can be derived again.

    Raises:
        Rejected: the schema let a spec through that the model refuses.
    """
    try:
        return model.model_validate(live)
    except ValidationError as error:
        if any(problem["loc"][:1] != ("status",) for problem in error.errors()):
            raise Rejected("InvalidSpec", _sentence(error)) from error
    return model.model_validate({word: part for word, part in live.items() if word != "status"})


def _sentence(error: ValidationError) -> str:
    problems = [problem for problem in error.errors() if problem["loc"][:1] != ("status",)]
    path = ".".join(str(part) for part in problems[0]["loc"])
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{path}: {problems[0]['msg']}{more}."
