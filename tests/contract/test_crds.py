"""The CRDs in the repository are those of the API types, and the API server takes them."""

from pathlib import Path

import pytest

from modelyard_operator.api import crds

ROOT = Path(__file__).parents[2]


def test_the_files_are_current():
    texts = crds.files(ROOT / "crds", ROOT / crds.CHART_FOLDER)

    assert crds.stale(texts) == [], "run `make crds`"


@pytest.mark.parametrize("model", crds.models(), ids=lambda model: model.__name__)
def test_a_fresh_object_is_not_yet_observed(model):
    status = crds.schema(model)["properties"]["status"]

    assert status["default"] == {"observedGeneration": -1}


@pytest.mark.parametrize("model", crds.models(), ids=lambda model: model.__name__)
def test_kubectl_get_tells_the_phase(model):
    assert any(column.path == ".status.phase" for column in model.COLUMNS)


@pytest.mark.cluster
@pytest.mark.parametrize("model", crds.models(), ids=lambda model: model.__name__)
def test_the_api_server_establishes_the_crd(api_server_with_crds, model):
    name = f"{model.RESOURCE.plural}.{model.RESOURCE.group}"
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}"

    live = api_server_with_crds.call("GET", path)

    conditions = {c["type"]: c["status"] for c in live["status"]["conditions"]}
    assert conditions["Established"] == "True"
    assert conditions.get("NonStructuralSchema", "False") == "False"


def test_the_short_names_are_those_of_the_documentation():
    assert [name for model in crds.models() for name in model.SHORT_NAMES] == [
        "mtrain",
        "mver",
        "mdeploy",
        "drift",
    ]
