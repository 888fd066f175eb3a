"""The conformance matrix: everything on the allow-list, on data with every oddity, must be exact.

A dependency that breaks one cell blocks the training image.  Each cell fits a small model and runs
the same proof as production: held-out rows, missing values, extremes, float32 neighbours of tree
thresholds, unknown and empty categories, batches of every size.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from modelyard_core import estimators
from modelyard_core.runs import Feature, ParityGate, Pipeline
from modelyard_training import export, parity, pipeline, request
from modelyard_training.failures import CannotConvert
from modelyard_training.scoring import OnnxModel
from support import training_runs as runs

SMALL = {
    "Logistic": {},
    "RandomForest": {"n_estimators": "7", "max_depth": "8"},
    "HistGradientBoosting": {"max_iter": "8"},
}
NUMBERS = {
    "median": {"missing": "ImputeMedian"},
    "scaled": {"missing": "ImputeMedian", "scale": "Standard"},
    "native": {"missing": "Native"},
}
TARGETS = {
    "binary": ("Classification", "i"),
    "text": ("Classification", "s"),
    "three": ("Classification", "m"),
    "value": ("Regression", "v"),
}


def cells():
    for name, estimator in estimators.ESTIMATORS.items():
        for kind, (task, _) in TARGETS.items():
            if task not in estimator.tasks:
                continue
            for number in NUMBERS:
                if number.startswith("native") and name != "HistGradientBoosting":
                    continue
                if kind == "text" and number != "median":
                    continue  # the type of a label has nothing to do with the numbers
                for encode in ("OneHot", "Ordinal"):
                    yield pytest.param(
                        name, kind, number, encode, id=f"{name}-{kind}-{number}-{encode}"
                    )


def a_frame(rows=600, seed=0):
    """Return wide-ranging numbers with adjacent float32 values, holes, and odd categories."""
    dice = np.random.default_rng(seed)
    near = np.float32(0.1) + np.arange(40, dtype=np.float32) * np.spacing(np.float32(0.1))
    frame = pd.DataFrame(
        {
            "plain": dice.normal(0, 1, rows),
            "wide": dice.lognormal(8, 3, rows),
            "near": dice.choice(near, rows),
            "tied": dice.integers(0, 3, rows),
        }
    ).astype(np.float32)
    frame.loc[dice.random(rows) < 0.07, "plain"] = np.nan
    names = np.asarray(["", " ", "a", "b", "Ü", "other", "nan", "1"], dtype=object)
    frame["odd (name).x"] = pd.Series(dice.choice(names, rows), dtype=object)
    return frame


def a_target(frame, kind, seed=0):
    dice = np.random.default_rng(seed)
    value = (
        np.nan_to_num(frame["plain"].to_numpy())
        + (frame["near"] > frame["near"].median())
        + frame["tied"]
        + (frame["odd (name).x"] == "b")
        + dice.normal(0, 0.7, len(frame))
    ).to_numpy(dtype=float)
    if kind == "v":
        return value * 1000
    if kind == "m":
        return np.digitize(value, np.quantile(value, [0.3, 0.6])).astype(np.int64)
    high = value > np.median(value)
    return high.astype(np.int64) if kind == "i" else np.where(high, "yes", "no").astype(object)


def prove(name, kind, number, encode, max_categories=5):
    task, shape = TARGETS[kind]
    frame = a_frame()
    features = (
        *(Feature(each, "Float", **NUMBERS[number]) for each in ("plain", "wide", "near", "tied")),
        Feature("odd (name).x", "Category", encode=encode, max_categories=max_categories),
    )
    asked = runs.a_request(task=task, features=features, pipeline=Pipeline(name, SMALL[name]))
    training, holdout = frame.iloc[:450], frame.iloc[450:]
    target = a_target(frame, shape)[:450]
    fitted = pipeline.fit(asked, training, target, request.params_of(asked), 1)
    signature = export.signature_of(task, fitted)
    content = export.export(fitted, signature, {"task": task})
    model = OnnxModel(content, signature)
    return fitted, model, parity.prove(fitted, model, content, training, holdout, ParityGate())


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind", "number", "encode"), list(cells()))
def test_the_exported_model_answers_the_same(name, kind, number, encode):
    fitted, model, proof = prove(name, kind, number, encode)

    assert proof.holds
    assert (proof.label_mismatches, proof.rows) == (0, 150)
    assert proof.probes > 100
    inputs, outputs = model.declared()
    assert [each[0] for each in inputs] == [feature.name for feature in fitted.features]
    assert [each[2] for each in inputs] == [["batch", 1]] * 5
    assert [each[0] for each in outputs] == [each.name for each in model.signature.outputs]


def test_a_model_that_differs_is_refused():
    fitted, model, _ = prove("HistGradientBoosting", "binary", "median", "OneHot")
    other, _, _ = prove("RandomForest", "binary", "median", "OneHot")
    frame = a_frame()

    content = export.export(fitted, model.signature, {})

    with pytest.raises(CannotConvert, match="not registered") as failure:
        parity.prove(other, model, content, frame.iloc[:450], frame.iloc[450:], ParityGate())

    assert failure.value.reason == "ParityFailed"


def test_an_answer_that_is_no_number_is_a_difference():
    fitted, model, _ = prove("Logistic", "binary", "median", "OneHot")
    frame = a_frame().iloc[450:]
    answers = model.answer(frame)
    broken = replace(answers, probabilities=np.full_like(answers.probabilities, np.nan))

    assert not parity.compare(fitted, broken, frame, len(frame), ParityGate()).holds


def test_a_wrong_label_with_right_probabilities_is_a_difference():
    fitted, model, _ = prove("Logistic", "binary", "median", "OneHot")
    frame = a_frame().iloc[450:]
    answers = model.answer(frame)

    flipped = parity.compare(
        fitted, replace(answers, labels=1 - answers.labels), frame, len(frame), ParityGate()
    )

    assert not flipped.holds
    assert flipped.label_mismatches == len(frame) - flipped.tied


def test_categories_beyond_the_limit_are_treated_as_unknown():
    fitted, model, _ = prove("Logistic", "binary", "median", "OneHot", max_categories=2)
    frame = a_frame().iloc[450:460]
    rare = frame.assign(**{"odd (name).x": np.asarray(["nobody has this"] * 10, dtype=object)})
    places = fitted.pipeline.named_steps["prepare"].named_transformers_["category4"].categories_

    assert len(places[0]) == 2
    assert np.allclose(model.answer(rare).probabilities, fitted.probabilities(rare), atol=1e-6)


def test_the_model_tells_where_it_comes_from():
    _, model, _ = prove("Logistic", "binary", "median", "OneHot")

    facts = model._session.get_modelmeta().custom_metadata_map

    assert set(facts) == {"modelyard.task", "modelyard.signature"}
