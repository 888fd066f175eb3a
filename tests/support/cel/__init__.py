"""For every CEL rule of a kind: an object that breaks it and one that keeps it.

A kind's module has `VALID`, which breaks nothing, and `ROWS`.  A row changes `VALID` at dotted
paths (`spec.features.0.type`); `REMOVED` takes a field away.
"""

import copy
from dataclasses import dataclass, field
from typing import Any

REMOVED = object()


@dataclass(frozen=True, slots=True)
class Row:
    """One rule, by its message."""

    message: str
    breaks: dict[str, Any]
    keeps: dict[str, Any] = field(default_factory=dict)
    changes: dict[str, Any] | None = None
    """For a rule about changes: what is changed after the object was created."""


def changed(valid: dict[str, Any], at: dict[str, Any]) -> dict[str, Any]:
    """Return a copy with these paths changed."""
    result = copy.deepcopy(valid)
    for path, value in at.items():
        *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        node = result
        for part in parents:
            node = node[part] if isinstance(node, list) else node.setdefault(part, {})
        if value is REMOVED:
            node.pop(last, None)
        elif isinstance(node, list) and last == len(node):
            node.append(copy.deepcopy(value))
        else:
            node[last] = copy.deepcopy(value)
    return result
