"""Changing persisted state: a new value with some fields replaced, and every name checked."""

from typing import TypeVar

from modelyard_operator.api.base import ApiModel

M = TypeVar("M", bound=ApiModel)


def evolve(model: M, **changes: object) -> M:
    """Return a copy with these fields changed.

    Raises:
        AttributeError: the model has no such field.
    """
    if unknown := changes.keys() - type(model).model_fields.keys():
        raise AttributeError(f"{type(model).__name__} has no field {', '.join(sorted(unknown))}")
    return model.model_copy(update=changes)
