"""How children are written: never a second copy, never somebody else's, never without need."""

from typing import Any

from modelyard_core.canonical import digest_value, short_hash
from modelyard_core.errors import ModelyardError, Unavailable
from modelyard_operator.api import resources
from modelyard_operator.api.resources import Obj
from modelyard_operator.naming import APPLIED_ANNOTATION, MANAGED_BY_LABEL
from modelyard_operator.ports import ApiError, Writer
from modelyard_operator.quantity import equal_quantities

_CONFLICT = 409
_ALREADY_EXISTS = "AlreadyExists"
_KEYS = ("name", "containerPort", "port", "mountPath", "type", "uid")
"""Fields by which Kubernetes identifies the items of its lists, the most telling first."""


class ForeignOwner(ModelyardError):
    """The name of a child is taken by an object that is not ours."""


async def create(writer: Writer, obj: Obj) -> None:
    """Create an immutable child; where it exists already, see that it is the same one.

    Raises:
        ForeignOwner: the name is taken.
        Unavailable: the child of an earlier owner of the same name is still being removed.
    """
    try:
        await writer.create(obj)
    except ApiError as error:
        if error.code != _CONFLICT or error.reason != _ALREADY_EXISTS:
            raise
        live = await _read(writer, obj)
        if live is None:
            raise Unavailable(f"{_called(obj)} vanished while it was created") from error
        check_owner(live, obj)
        if controller(obj) is None and not covers(live.get("spec"), obj.get("spec")):
            raise ForeignOwner(f"{_called(obj)} exists with another spec.") from error


async def apply(writer: Writer, obj: Obj) -> None:
    """Apply a child, unless what lives says the same already.

    Raises:
        ForeignOwner: the name is taken.
        Unavailable: the child of an earlier owner of the same name is still being removed.
    """
    wanted = with_hash(obj)
    live = await _read(writer, obj)
    if live is not None:
        check_owner(live, obj)
        if live["metadata"].get("deletionTimestamp"):
            raise Unavailable(f"{_called(obj)} is still being removed")
        if covers(live, wanted):
            return
    await writer.apply(wanted)


async def _read(writer: Writer, obj: Obj) -> Obj | None:
    metadata = obj["metadata"]
    return await writer.get(resources.of(obj), metadata["namespace"], metadata["name"])


def with_hash(obj: Obj) -> Obj:
    """Return the object with the hash of its content, so that a field that went is noticed."""
    metadata = obj["metadata"]
    digits = short_hash(digest_value(obj))
    annotations = metadata.get("annotations", {}) | {APPLIED_ANNOTATION: digits}
    return obj | {"metadata": metadata | {"annotations": annotations}}


def controller(obj: Obj) -> Obj | None:
    """Return the owner reference of the controller, if there is one."""
    references = obj["metadata"].get("ownerReferences") or []
    return next((r for r in references if r.get("controller")), None)


def check_owner(live: Obj, wanted: Obj) -> None:
    """See that a living object may be touched in place of the wanted one.

    An owner reference that somebody removed is restored by the apply that follows, as long as
    the object still carries our label.

    Raises:
        ForeignOwner: it belongs to somebody else.
        Unavailable: it belonged to an earlier object of the owner's name.
    """
    ours, theirs = controller(wanted), controller(live)
    if ours is None:
        return
    if theirs is None:
        labels = live["metadata"].get("labels") or {}
        if labels.get(MANAGED_BY_LABEL) == wanted["metadata"]["labels"].get(MANAGED_BY_LABEL):
            return
        raise ForeignOwner(f"{_called(wanted)} exists and is not managed by Modelyard.")
    if theirs["uid"] == ours["uid"]:
        return
    if (theirs["kind"], theirs["name"]) == (ours["kind"], ours["name"]):
        raise Unavailable(f"{_called(wanted)} of an earlier {ours['kind']} is still being removed")
    raise ForeignOwner(f"{_called(wanted)} belongs to {theirs['kind']} {theirs['name']}.")


def _called(obj: Obj) -> str:
    return f"{obj['kind']} {obj['metadata']['name']}"


def covers(live: Any, wanted: Any) -> bool:  # noqa: ANN401 (JSON)
    """Return whether the live value says all that the wanted one says.

    What the API server added does not count, nor how it spells a quantity.
    """
    if isinstance(wanted, dict):
        return isinstance(live, dict) and all(
            key in live and covers(live[key], value) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return isinstance(live, list) and _covers_items(live, wanted)
    return bool(live == wanted) or equal_quantities(live, wanted)


def _covers_items(live: list[Any], wanted: list[Any]) -> bool:
    """Compare items by their key; lists of plain values must be equal."""
    if not all(isinstance(item, dict) for item in (*live, *wanted)):
        return len(live) == len(wanted) and all(map(covers, live, wanted))
    by_key = {_key(item): item for item in live}
    return all(covers(by_key.get(_key(item)), item) for item in wanted)


def _key(item: Obj) -> tuple[str, Any]:
    return next(((key, item[key]) for key in _KEYS if key in item), ("", None))
