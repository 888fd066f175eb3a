"""JSON Schema as pydantic writes it → the structural schema that a CRD requires.

Pure.  What a CRD cannot say is refused here, with the path of the field, so that a model which
passes is a CRD that the API server accepts.
"""

import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]

_COPIED = (
    "type",
    "description",
    "enum",
    "format",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "multipleOf",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-int-or-string",
    "x-kubernetes-preserve-unknown-fields",
)
_IGNORED = ("title", "$defs", "required", "default", "properties", "items", "const", "anyOf")
_HANDLED = (
    *("additionalProperties", "exclusiveMinimum", "exclusiveMaximum", "$ref"),
    "x-kubernetes-validations",
)
_ONLY_FOR_WISHES = ("default", "x-kubernetes-validations")
_NOT_RE2 = re.compile(r"\(\?[=!<]|\\[1-9]")
_CLOSED = ("enum", "format", "properties", "x-kubernetes-preserve-unknown-fields")
_BOUND = {"string": "maxLength", "array": "maxItems", "object": "maxProperties"}


class NotStructural(TypeError):
    """A model says something that a CRD cannot."""

    def __init__(self, path: str, complaint: str) -> None:
        super().__init__(f"{path or 'the root'}: {complaint}")


def structural_schema(model: type[BaseModel]) -> Schema:
    """Return the structural schema of a model.

    Raises:
        NotStructural: the model is recursive, holds a union, or an open-ended rule.
    """
    document = model.model_json_schema(by_alias=True)
    return _Converter(document.get("$defs", {})).convert(document, "", ())


class _Converter:
    def __init__(self, definitions: dict[str, Schema]) -> None:
        self._definitions = definitions

    def convert(self, node: Schema, path: str, above: tuple[str, ...]) -> Schema:
        """Return one node, `above` being the references that led here."""
        node, above = self._inlined(node, path, above)
        _refuse_unknown_words(node, path)
        result = {word: node[word] for word in _COPIED if word in node}
        if "const" in node:
            result["enum"] = [node["const"]]
        if result.get("type") == "integer":
            result.setdefault("format", "int64")
        _copy_exclusive_bounds(node, result)
        self._convert_children(node, result, path, above)
        if "x-kubernetes-validations" in node:
            result["x-kubernetes-validations"] = node["x-kubernetes-validations"]
        if node.get("default") is not None:
            result["default"] = _without_nulls(node["default"])
        return result

    def _inlined(
        self, node: Schema, path: str, above: tuple[str, ...]
    ) -> tuple[Schema, tuple[str, ...]]:
        """Return the node without `$ref` and without `null`; what stands beside them wins."""
        while "$ref" in node or "anyOf" in node:
            if "anyOf" in node:
                node = _without(node, "anyOf") | _only_choice(node["anyOf"], path, node)
                continue
            name = node["$ref"].rpartition("/")[2]
            if name in above:
                raise NotStructural(path, f"{name} contains itself")
            above = (*above, name)
            node = _merged(self._definitions[name], _without(node, "$ref"))
        return node, above

    def _convert_children(
        self, node: Schema, result: Schema, path: str, above: tuple[str, ...]
    ) -> None:
        if "items" in node:
            result["items"] = self.convert(node["items"], f"{path}[]", above)
        if "properties" in node:
            result["properties"] = {
                name: self.convert(child, f"{path}.{name}", above)
                for name, child in node["properties"].items()
            }
            required = [name for name in node.get("required", []) if name in node["properties"]]
            if required:
                result["required"] = required
        elif isinstance(values := node.get("additionalProperties"), dict) and values:
            result["additionalProperties"] = self.convert(values, f"{path}{{}}", above)


def _only_choice(choices: list[Schema], path: str, node: Schema) -> Schema:
    """Return the one choice that is not null, under what its field says about it."""
    real = [choice for choice in choices if choice.get("type") != "null"]
    if len(real) != 1:
        raise NotStructural(path, "a union; one field has one type")
    return real[0] | {key: node[key] for key in ("description", "default") if key in node}


def _merged(definition: Schema, beside: Schema) -> Schema:
    rules = [
        *definition.get("x-kubernetes-validations", []),
        *beside.get("x-kubernetes-validations", []),
    ]
    return definition | beside | ({"x-kubernetes-validations": rules} if rules else {})


def _without(node: Schema, word: str) -> Schema:
    return {key: value for key, value in node.items() if key != word}


def _copy_exclusive_bounds(node: Schema, result: Schema) -> None:
    for word, plain in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if word in node:
            result |= {plain: node[word], word: True}


def _without_nulls(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def _refuse_unknown_words(node: Schema, path: str) -> None:
    unknown = [word for word in node if word not in (*_COPIED, *_IGNORED, *_HANDLED)]
    if unknown:
        raise NotStructural(path, f"a CRD knows no {', '.join(unknown)}")
    if "type" not in node and "x-kubernetes-int-or-string" not in node:
        raise NotStructural(path, "has no type")
    if _NOT_RE2.search(node.get("pattern", "")):
        raise NotStructural(path, "its pattern looks around or back, which RE2 cannot")


def unbounded(schema: Schema, path: str = "") -> Iterator[str]:
    """Yield the paths of strings, lists and maps that may grow without limit.

    The API server multiplies the cost of a rule by the largest input that the schema admits, and
    refuses a CRD whose rules could become too expensive.
    """
    bound = _BOUND.get(schema.get("type", ""))
    fixed = any(word in schema for word in _CLOSED)
    if bound and bound not in schema and not fixed:
        yield path or "the root"
    for name, child in schema.get("properties", {}).items():
        yield from unbounded(child, f"{path}.{name}")
    for inner, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if inner in schema:
            yield from unbounded(schema[inner], f"{path}{mark}")


def as_reported(schema: Schema) -> Schema:
    """Return the schema of a status: nothing is filled in, and no rule stands in its way.

    Only the operator writes it; a rule that the spec has to keep must not silence a report.
    """
    result = {key: value for key, value in schema.items() if key not in _ONLY_FOR_WISHES}
    if "properties" in result:
        result["properties"] = {
            name: as_reported(child) for name, child in result["properties"].items()
        }
    for inner in ("items", "additionalProperties"):
        if inner in result:
            result[inner] = as_reported(result[inner])
    return result
