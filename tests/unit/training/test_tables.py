"""The tables in core that the operator's API and the training Job share."""

import pytest
from sklearn import ensemble, linear_model

from modelyard_core import estimators, metrics
from modelyard_core.estimators import BadParameterError, Kind

MADE_BY = {
    ("Logistic", "Classification"): linear_model.LogisticRegression,
    ("RandomForest", "Classification"): ensemble.RandomForestClassifier,
    ("RandomForest", "Regression"): ensemble.RandomForestRegressor,
    ("HistGradientBoosting", "Classification"): ensemble.HistGradientBoostingClassifier,
    ("HistGradientBoosting", "Regression"): ensemble.HistGradientBoostingRegressor,
}
PAIRS = [(each.name, task) for each in estimators.ESTIMATORS.values() for task in each.tasks]


@pytest.mark.parametrize(("name", "task"), PAIRS)
def test_every_parameter_exists_in_scikit_learn(name, task):
    taken = {each.name for each in estimators.ESTIMATORS[name].takes(task)}

    assert taken <= set(MADE_BY[name, task]().get_params())


@pytest.mark.parametrize(("name", "task"), PAIRS)
def test_every_default_keeps_its_own_bounds(name, task):
    values = estimators.parse_params(name, task, {})

    for parameter in estimators.ESTIMATORS[name].takes(task):
        assert values[parameter.name] == parameter.parse(parameter.default)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("learning_rate", "0.05", 0.05),
        ("learning_rate", "1e-3", 0.001),
        ("max_iter", "200", 200),
        ("max_depth", "none", None),
        ("class_weight", "balanced", "balanced"),
        ("class_weight", "none", None),
    ],
)
def test_what_a_text_means(name, text, value):
    params = {name: text}

    read = estimators.parse_params("HistGradientBoosting", "Classification", params)

    assert read[name] == value
    assert type(read[name]) is type(value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("learning_rate", "0"),
        ("learning_rate", "nan"),
        ("learning_rate", "-0.1"),
        ("learning_rate", "0.1 "),
        ("learning_rate", ""),
        ("max_iter", "5\n"),
        ("max_iter", "1.5"),
        ("max_iter", "none"),
        ("max_iter", "2001"),
        ("max_iter", "\u0663"),
        ("class_weight", "Balanced"),
        ("loss", "squared_error"),
    ],
)
def test_what_is_refused(name, text):
    with pytest.raises(BadParameterError, match=name):
        estimators.parse_params("HistGradientBoosting", "Classification", {name: text})


def test_every_sentence_says_what_is_expected():
    for estimator in estimators.ESTIMATORS.values():
        for parameter in estimator.parameters:
            with pytest.raises(BadParameterError, match=f"{parameter.name} must be"):
                parameter.parse("?")
            if parameter.kind is Kind.CHOICE:
                assert parameter.default in parameter.choices


def test_every_metric_belongs_to_one_task():
    names = [name for task in estimators.TASKS for name in metrics.metrics_for(task)]

    assert sorted(names) == sorted(metrics.METRICS)
