"""Frozen dataclasses ↔ JSON documents, by their annotations.

Field names become camelCase.  Absent and null mean the default; an unknown field is ignored, so
that a newer writer can be read, and a wrong type is a `ShapeError` that names the path.
Understood: str, int, float, bool, StrEnum, datetime (RFC 3339, UTC), Any, dataclasses, `X | None`,
`tuple[X, ...]`, `tuple[X, Y]`, `Mapping[str, X]`.
"""

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar

from modelyard_core.errors import ShapeError

T = TypeVar("T")


def camel(name: str) -> str:
    """Return the JSON name of a field.

    >>> camel("data_digest")
    'dataDigest'
    """
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)


def encode(value: Any) -> Any:
    """Return the JSON form of a value; fields that are None are left out."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, Mapping):
        return {key: encode(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        if all(type(item) is int for item in value):
            return list(value)
        return [encode(item) for item in value]
    return _encode_dataclass(value)


def _encode_dataclass(value: Any) -> dict[str, Any]:
    kind: type = type(value)
    pairs = ((told, getattr(value, name)) for name, told in _names(kind))
    return {told: encode(item) for told, item in pairs if item is not None}


def decode(kind: type[T], document: Any) -> T:
    """Return the dataclass that a JSON document describes.

    Raises:
        ShapeError: something is missing or has another type; the message names its path.
    """
    return typing.cast("T", _decode(kind, document, kind.__name__))


def loads(kind: type[T], text: str | bytes) -> T:
    """Decode JSON text.

    Raises:
        ShapeError: not JSON, or not of this shape.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ShapeError(f"{kind.__name__}: not JSON: {error}") from error
    return decode(kind, document)


def dumps(value: Any) -> str:
    """Return a value as JSON text, keys sorted."""
    return json.dumps(encode(value), sort_keys=True, allow_nan=False)


def format_time(moment: datetime) -> str:
    """Return a moment as RFC 3339 in UTC, microseconds only when there are any."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def parse_time(text: str) -> datetime:
    """Return the moment that an RFC 3339 text names.

    Raises:
        ValueError: not a time with a zone.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return moment.astimezone(UTC)


@cache
def _names(kind: type) -> tuple[tuple[str, str], ...]:
    """Return a dataclass' fields and what they are called in JSON."""
    if not dataclasses.is_dataclass(kind):
        raise TypeError(f"{kind.__name__} has no JSON form")
    return tuple((field.name, camel(field.name)) for field in dataclasses.fields(kind))


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _decode(kind: Any, value: Any, path: str) -> Any:
    if kind is Any:
        return value
    origin = typing.get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        return _decode_optional(kind, value, path)
    if origin is tuple:
        return _decode_tuple(typing.get_args(kind), _expect(list, value, path), path)
    if origin is not None and issubclass(origin, Mapping):
        inner = typing.get_args(kind)[1]
        items = _expect(dict, value, path)
        return {
            _expect(str, key, path): _decode(inner, item, f"{path}.{key}")
            for key, item in items.items()
        }
    if dataclasses.is_dataclass(kind):
        return _decode_dataclass(kind, value, path)
    return _decode_scalar(kind, value, path)


def _decode_optional(kind: Any, value: Any, path: str) -> Any:
    if value is None:
        return None
    inner = next(item for item in typing.get_args(kind) if item is not type(None))
    return _decode(inner, value, path)


def _decode_tuple(kinds: tuple[Any, ...], items: list[Any], path: str) -> tuple[Any, ...]:
    if kinds[-1] is Ellipsis:
        if kinds[0] is int and all(type(item) is int for item in items):
            return tuple(items)  # counts are the bulk of what is read
        kinds = (kinds[0],) * len(items)
    if len(items) != len(kinds):
        raise ShapeError(f"{path}: expected {len(kinds)} items, got {len(items)}")
    pairs = zip(kinds, items, strict=True)
    return tuple(_decode(kind, item, f"{path}[{i}]") for i, (kind, item) in enumerate(pairs))


def _decode_dataclass(kind: Any, value: Any, path: str) -> Any:
    document = _expect(dict, value, path)
    known = {}
    hints = _hints(kind)
    for name, told in _names(kind):
        if document.get(told) is not None:
            known[name] = _decode(hints[name], document[told], f"{path}.{told}")
    try:
        return kind(**known)
    except TypeError as error:
        raise ShapeError(f"{path}: {str(error).partition(') ')[2] or error}") from error
    except ValueError as error:
        raise ShapeError(f"{path}: {error}") from error


def _decode_scalar(kind: Any, value: Any, path: str) -> Any:
    if kind is float and type(value) is int:
        return float(value)
    if kind is datetime or issubclass(kind, StrEnum):
        text = _expect(str, value, path)
        try:
            return parse_time(text) if kind is datetime else kind(text)
        except ValueError as error:
            raise ShapeError(f"{path}: {error}") from error
    return _expect(kind, value, path)


def _expect(kind: Any, value: Any, path: str) -> Any:
    # bool is an int in Python, not in JSON
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ShapeError(f"{path}: expected {kind.__name__}, got {type(value).__name__}")
    return value
