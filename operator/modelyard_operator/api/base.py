"""The base of every API type: camelCase on the wire, each rule beside the field it guards.

A docstring under a field becomes its description in the CRD.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema

from modelyard_operator.api.resources import Obj, Resource

MAX_NAME_LENGTH = 48
"""Leaves room for `-<8 hex>` and `-router` in the names of children (63 characters at most)."""


class Cel(NamedTuple):
    """One rule that the API server enforces, and the sentence it answers with."""

    rule: str
    message: str


@dataclass(frozen=True, slots=True)
class Rules:
    """Rules of one field: `Annotated[str, Field(max_length=63), Rules(Cel(…))]`."""

    rules: tuple[Cel, ...]

    def __init__(self, *rules: Cel) -> None:
        object.__setattr__(self, "rules", rules)

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return handler(core_schema) | {
            "x-kubernetes-validations": [rule._asdict() for rule in self.rules]
        }


@dataclass(frozen=True, slots=True)
class ListMap:
    """A list whose items are identified by keys: `Annotated[tuple[Step, ...], ListMap("name")]`."""

    keys: tuple[str, ...]

    def __init__(self, *keys: str) -> None:
        object.__setattr__(self, "keys", keys)

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return handler(core_schema) | {
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": list(self.keys),
        }


@dataclass(frozen=True, slots=True)
class FreeForm:
    """A node whose content the schema does not describe (pod fields such as tolerations)."""

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return handler(core_schema) | {"x-kubernetes-preserve-unknown-fields": True}


IMMUTABLE = "self == oldSelf"
"""The rule of a field that cannot change: `Rules(Cel(IMMUTABLE, "digest cannot change"))`."""


class ApiModel(BaseModel):
    """A node of a custom resource; immutable, and tolerant of fields of later versions."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        use_attribute_docstrings=True,
        extra="ignore",
    )
    RULES: ClassVar[tuple[Cel, ...]] = ()

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Carry the rules into the schema, where structural.py finds them."""
        schema = handler.resolve_ref_schema(handler(core_schema))
        if cls.RULES:
            schema["x-kubernetes-validations"] = [rule._asdict() for rule in cls.RULES]
        return schema

    def to_json(self) -> Obj:
        """Return the node as it goes over the wire; what is None is left out."""
        return self.model_dump(by_alias=True, mode="json", exclude_none=True)


class Metadata(ApiModel):
    """The part of an object's metadata that decisions may use."""

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 1
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class Column(NamedTuple):
    """One column of `kubectl get`; priority 1 shows only with `-o wide`."""

    name: str
    path: str
    type: str = "string"
    priority: int = 0


class Status(ApiModel):
    """What every kind reports; a kind adds its own fields and narrows `phase`."""

    observed_generation: int = -1
    """The generation that this status speaks about; -1 until the operator has seen the object."""


class CustomResource(ApiModel):
    """The root of one kind.  A subclass adds `spec` and `status: Status | None = None`.

    `RULES` of a root may speak of `self.metadata.name`.
    """

    RESOURCE: ClassVar[Resource]
    SHORT_NAMES: ClassVar[tuple[str, ...]]
    COLUMNS: ClassVar[tuple[Column, ...]]

    metadata: Metadata

    def owner_reference(self) -> Obj:
        """Return the reference that makes this object the controller of a child."""
        return {
            "apiVersion": self.RESOURCE.api_version,
            "kind": self.RESOURCE.kind,
            "name": self.metadata.name,
            "uid": self.metadata.uid,
            "controller": True,
            "blockOwnerDeletion": False,
        }


NAME_RULES = (
    Cel(
        f"size(self.metadata.name) <= {MAX_NAME_LENGTH}",
        f"metadata.name must have at most {MAX_NAME_LENGTH} characters, "
        "so that the names of its children fit",
    ),
    Cel(
        "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        "metadata.name must start with a letter and contain only lower-case letters, digits and "
        "dashes, because a Service carries it",
    ),
)
"""For the roots of kinds whose children are named after them."""
