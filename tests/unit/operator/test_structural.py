from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import Field

from modelyard_operator.api.base import ApiModel, Cel, FreeForm, ListMap, Rules
from modelyard_operator.api.conditions import Conditions, Truth
from modelyard_operator.api.structural import NotStructural, structural_schema, unbounded

Short = Annotated[str, Field(max_length=5)]


class Leaf(ApiModel):
    """A leaf."""

    RULES: ClassVar[tuple[Cel, ...]] = (Cel("self.size > 0", "size must be positive"),)

    size: Annotated[int, Field(gt=0)] = 1


class Referenced(ApiModel):
    plain: Leaf
    """Beside the reference."""
    ruled: Annotated[Leaf, Rules(Cel("self == oldSelf", "cannot change"))]


class Optional(ApiModel):
    text: Short | None = None
    """Perhaps a text."""
    leaf: Leaf | None = None
    required: Short


class Constant(ApiModel):
    one: Literal["A"] = "A"
    several: Literal["A", "B"] = "B"
    truth: Truth = Truth.TRUE


class Defaults(ApiModel):
    child: Optional = Optional(required="x")
    texts: Annotated[tuple[Short, ...], Field(max_length=3)] = ()


class Lists(ApiModel):
    conditions: Conditions = ()
    leaves: Annotated[tuple[Leaf, ...], Field(max_length=3), ListMap("size")] = ()


class Maps(ApiModel):
    labels: Annotated[dict[str, Short], Field(max_length=2, default_factory=dict)]
    pod: Annotated[dict[str, Any], FreeForm(), Field(default_factory=dict)]


def properties_of(model):
    return structural_schema(model)["properties"]


def test_a_reference_is_inlined_and_what_stands_beside_it_wins():
    plain = properties_of(Referenced)["plain"]

    assert plain["properties"]["size"]["type"] == "integer"
    assert plain["x-kubernetes-validations"] == [
        {"rule": "self.size > 0", "message": "size must be positive"}
    ]


def test_rules_of_a_field_join_the_rules_of_its_type():
    rules = properties_of(Referenced)["ruled"]["x-kubernetes-validations"]

    assert [rule["message"] for rule in rules] == ["size must be positive", "cannot change"]


def test_an_optional_field_is_its_type_and_not_required():
    schema = structural_schema(Optional)

    assert schema["properties"]["text"] == {
        "type": "string",
        "maxLength": 5,
        "description": "Perhaps a text.",
    }
    assert schema["required"] == ["required"]


def test_a_constant_is_an_enum_of_one():
    assert properties_of(Constant)["one"] == {"type": "string", "enum": ["A"], "default": "A"}


def test_an_enum_class_is_an_enum():
    assert properties_of(Constant)["truth"]["enum"] == ["True", "False", "Unknown"]


def test_an_exclusive_bound_is_a_bound_and_a_flag():
    size = properties_of(Leaf)["size"]

    assert (size["minimum"], size["exclusiveMinimum"]) == (0, True)


def test_nulls_inside_defaults_are_dropped():
    assert properties_of(Defaults)["child"]["default"] == {"required": "x"}


def test_an_empty_list_stays_a_default_so_that_rules_can_measure_it():
    assert properties_of(Defaults)["texts"]["default"] == []


def test_lists_say_by_which_key_they_merge():
    conditions = properties_of(Lists)["conditions"]

    assert conditions["x-kubernetes-list-type"] == "map"
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]


def test_a_free_form_node_keeps_what_it_does_not_know():
    pod = properties_of(Maps)["pod"]

    assert pod == {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def test_titles_never_reach_the_crd():
    assert "title" not in str(structural_schema(Defaults))


def test_a_title_is_an_ordinary_name_for_a_field():
    class Book(ApiModel):
        title: Short

    assert "title" in properties_of(Book)


def test_a_recursive_model_is_refused():
    with pytest.raises(NotStructural, match=r"\.children\[\]: Tree contains itself"):
        structural_schema(Tree)


class Tree(ApiModel):
    children: tuple["Tree", ...] = ()


def test_a_union_is_refused():
    class Either(ApiModel):
        value: int | str

    with pytest.raises(NotStructural, match=r"\.value: a union; one field has one type"):
        structural_schema(Either)


def test_a_pattern_that_looks_ahead_is_refused():
    class Ahead(ApiModel):
        value: Annotated[str, Field(json_schema_extra={"pattern": "^(?!x)"})]

    with pytest.raises(NotStructural, match="RE2"):
        structural_schema(Ahead)


def test_a_word_that_crds_lack_is_refused():
    class Unique(ApiModel):
        value: Annotated[str, Field(json_schema_extra={"contentEncoding": "base64"})]

    with pytest.raises(NotStructural, match="a CRD knows no contentEncoding"):
        structural_schema(Unique)


def test_what_has_no_upper_bound_is_found_by_its_path():
    class Loose(ApiModel):
        name: str
        names: tuple[str, ...] = ()
        labels: dict[str, Short]
        leaf: Leaf = Leaf()
        fixed: Literal["A"] = "A"

    found = list(unbounded(structural_schema(Loose), ".spec"))

    assert found == [".spec.name", ".spec.names", ".spec.names[]", ".spec.labels"]
