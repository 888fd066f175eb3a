"""ModelTraining's API agrees with the tables of core that the training Job reads by."""

from pathlib import Path

import pytest

from modelyard_core import estimators
from modelyard_operator.api.v1alpha1.model_training import ModelTraining, Pipeline
from modelyard_operator.model_training import reasons, render
from modelyard_operator.model_version import status as version_status
from support.cel import changed, model_training

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize("row", model_training.ROWS, ids=lambda row: row.message[:40])
def test_params_that_keep_the_rules_pass_the_job(row):
    spec = ModelTraining.model_validate(changed(model_training.VALID, row.keeps)).spec

    estimators.parse_params(spec.pipeline.estimator, spec.task, spec.pipeline.params or {})


def test_the_api_names_every_estimator():
    annotation = Pipeline.model_fields["estimator"].annotation

    assert set(annotation.__args__) == set(estimators.ESTIMATORS)


def test_what_is_left_open_gets_its_default():
    obj = changed(model_training.VALID, {})
    obj["spec"]["data"].pop("split")
    spec = ModelTraining.model_validate(obj).spec

    assert spec.triggers.cooldown == "1h"
    assert spec.data.split.strategy == "Hash"
    assert spec.runtime.active_deadline == "2h"
    assert render.container_resources(spec.runtime.resources) == {
        "requests": {"memory": "1Gi", "cpu": "500m"},
        "limits": {"memory": "1Gi"},
    }


@pytest.mark.parametrize("module", [reasons, version_status])
def test_every_reason_is_documented(module):
    codes = {
        value
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, str) and name not in ("READY", "SUCCEEDED")
    }
    documented = (DOCS / "reasons" / "training.md").read_text()

    assert [code for code in sorted(codes) if f"`{code}`" not in documented] == []
