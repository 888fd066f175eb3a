"""Route table text → RouteTable, strictly: what is not understood is never half applied."""

import json
import re
from typing import Any, TypeAlias

from modelyard_core import codec
from modelyard_core.errors import ModelyardError, ShapeError
from modelyard_core.routes import TOTAL_WEIGHT, Arm, RouteTable

Json: TypeAlias = dict[str, Any]

DNS_LABEL = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")


class InvalidTable(ModelyardError):
    """This text can never be applied; only another text can help."""


def parse(text: str) -> RouteTable:
    """Return the table that a text describes.

    Raises:
        InvalidTable: not JSON, an unknown or missing field, a wrong type, or weights that do not
            add up.
    """
    try:
        table = codec.loads(RouteTable, text)
        _refuse_unknown_fields(json.loads(text), codec.encode(table), "table")
    except (ShapeError, RecursionError) as error:
        raise InvalidTable(str(error)) from error
    _check(table)
    return table


def arms(table: RouteTable) -> tuple[Arm, ...]:
    """Return the revisions with live traffic, stable first: the order never changes on a ramp."""
    return (table.stable,) if table.canary is None else (table.stable, table.canary)


def _refuse_unknown_fields(given: Json, known: Json, path: str) -> None:
    for name, value in given.items():
        if value is not None and name not in known:
            raise InvalidTable(f"{path}: unknown field {name!r}")
        if isinstance(value, dict):
            _refuse_unknown_fields(value, known[name], f"{path}.{name}")


def _check(table: RouteTable) -> None:
    _check_range("version", table.version, 1, 2**53)
    for role, arm in zip(("stable", "canary"), arms(table), strict=False):
        _check_names(role, arm.revision, arm.host)
        _check_range(f"{role}.weight", arm.weight, 0, TOTAL_WEIGHT)
    if (total := sum(arm.weight for arm in arms(table))) != TOTAL_WEIGHT:
        raise InvalidTable(f"the weights add up to {total}, not {TOTAL_WEIGHT}")
    if table.canary is not None and table.canary.revision == table.stable.revision:
        raise InvalidTable("stable and canary are the same revision")
    if table.mirror is not None:
        _check_names("mirror", table.mirror.revision, table.mirror.host)
        _check_range("mirror.percent", table.mirror.percent, 0, 100)


def _check_names(role: str, revision: str, host: str) -> None:
    for field, name in (("revision", revision), ("host", host)):
        if not DNS_LABEL.fullmatch(name):
            raise InvalidTable(f"{role}.{field}: not a DNS label: {name!r}")


def _check_range(field: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise InvalidTable(f"{field}: expected {low} to {high}, got {value}")
