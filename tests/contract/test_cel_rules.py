"""Every rule of every kind: broken once and kept once, against the real API server.

The rows are in `support/cel`, one module a kind; a new rule needs a row there.
"""

from importlib import import_module

import pytest

from modelyard_operator.api import crds
from support import cel
from support.api_server import Refused

TABLES = {
    model.__name__: import_module(f"support.cel.{model.__module__.rpartition('.')[2]}")
    for model in crds.models()
}
CASES = [
    pytest.param(model, row, id=f"{model.__name__}-{number}-{row.message[:50]}")
    for model in crds.models()
    for number, row in enumerate(TABLES[model.__name__].ROWS)
]


@pytest.fixture(scope="module")
def namespace(api_server_with_crds):
    return api_server_with_crds.namespace("cel")


@pytest.fixture
def create(api_server_with_crds, namespace):
    def create(model, obj, query="?dryRun=All"):
        path = model.RESOURCE.path(namespace) + query
        return api_server_with_crds.call("POST", path, obj)

    return create


def rules(schema):
    """Yield the messages of a schema's rules."""
    yield from (rule["message"] for rule in schema.get("x-kubernetes-validations", ()))
    for child in schema.get("properties", {}).values():
        yield from rules(child)
    for inner in ("items", "additionalProperties"):
        if isinstance(schema.get(inner), dict):
            yield from rules(schema[inner])


@pytest.mark.parametrize("model", crds.models(), ids=lambda model: model.__name__)
def test_every_rule_has_a_row_and_every_row_a_rule(model):
    told = {row.message for row in TABLES[model.__name__].ROWS}

    assert told == set(rules(crds.schema(model)))


@pytest.mark.parametrize("model", crds.models(), ids=lambda model: model.__name__)
def test_what_the_api_server_may_accept_the_operator_can_read(model):
    valid = TABLES[model.__name__].VALID

    assert model.model_validate(valid).metadata.name == valid["metadata"]["name"]


@pytest.mark.cluster
@pytest.mark.parametrize(("model", "row"), CASES)
def test_what_keeps_a_rule_is_accepted(create, model, row):
    create(model, cel.changed(TABLES[model.__name__].VALID, row.keeps))


@pytest.mark.cluster
@pytest.mark.parametrize(("model", "row"), [case for case in CASES if not case.values[1].changes])
def test_what_breaks_a_rule_is_refused_in_its_words(create, model, row):
    with pytest.raises(Refused) as refused:
        create(model, cel.changed(TABLES[model.__name__].VALID, row.breaks))

    assert refused.value.code == 422
    assert refused.value.message.count("Invalid value") == 1
    assert refused.value.message.endswith(f": {row.message}")


@pytest.mark.cluster
@pytest.mark.parametrize(("model", "row"), [case for case in CASES if case.values[1].changes])
def test_a_change_that_breaks_a_rule_is_refused_in_its_words(
    create, api_server_with_crds, model, row
):
    live = create(model, TABLES[model.__name__].VALID, query="")
    path = model.RESOURCE.path(live["metadata"]["namespace"], live["metadata"]["name"])

    with pytest.raises(Refused) as refused:
        api_server_with_crds.call("PUT", path, cel.changed(live, row.changes))

    assert refused.value.message.endswith(f": {row.message}")
