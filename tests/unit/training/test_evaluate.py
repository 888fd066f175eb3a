"""Metrics against scikit-learn's own, and where they are not defined."""

import numpy as np
import pytest
from sklearn import metrics as sk

from modelyard_core.metrics import METRICS, metrics_for
from modelyard_training import evaluate
from modelyard_training.scoring import Answers

ROWS = 400


def classified(classes=2, seed=0, labels=None):
    dice = np.random.default_rng(seed)
    names = tuple(range(classes)) if labels is None else labels
    index = dice.integers(0, classes, ROWS)
    raw = dice.random((ROWS, classes)) + 1.2 * np.eye(classes)[index]
    shares = (raw / raw.sum(axis=1, keepdims=True)).round(2).astype(np.float32)
    truth = np.asarray([names[i] for i in index], dtype=object if labels else np.int64)
    given = np.asarray([names[i] for i in shares.argmax(axis=1)], dtype=truth.dtype)
    return truth, Answers(given, shares, None), names


def test_every_metric_of_the_table_is_computed():
    assert set(evaluate.COMPUTE) == set(METRICS)


def test_binary_metrics_are_scikit_learns():
    truth, answers, classes = classified()
    score = answers.probabilities[:, 1] / answers.probabilities.sum(axis=1)
    weights = np.random.default_rng(1).integers(0, 4, ROWS).astype(float)

    expected = {
        "roc_auc": sk.roc_auc_score(truth, score, sample_weight=weights),
        "accuracy": sk.accuracy_score(truth, answers.labels, sample_weight=weights),
        "f1": sk.f1_score(truth, answers.labels, sample_weight=weights),
        "precision": sk.precision_score(truth, answers.labels, sample_weight=weights),
        "recall": sk.recall_score(truth, answers.labels, sample_weight=weights),
        "average_precision": sk.average_precision_score(truth, score, sample_weight=weights),
        "brier": sk.brier_score_loss(truth, score, sample_weight=weights),
        "log_loss": sk.log_loss(truth, score, sample_weight=weights),
    }

    for name, value in expected.items():
        measured = evaluate.measure(name, truth, answers, classes, weights)
        assert measured == pytest.approx(value, rel=1e-5), name


def test_metrics_of_three_text_classes_are_scikit_learns():
    truth, answers, classes = classified(3, labels=("dry", "snow", "wet"))
    exact = answers.probabilities.astype(np.float64)
    shares = exact / exact.sum(axis=1, keepdims=True)

    measured = evaluate.measure_all("Classification", truth, answers, classes)

    auc = sk.roc_auc_score(truth, shares, multi_class="ovr", average="macro", labels=classes)
    assert measured["roc_auc"] == pytest.approx(auc)
    assert measured["f1"] == pytest.approx(sk.f1_score(truth, answers.labels, average="macro"))
    assert measured["log_loss"] == pytest.approx(sk.log_loss(truth, shares, labels=classes))
    assert np.isnan(measured["average_precision"])


def test_regression_metrics_are_scikit_learns():
    dice = np.random.default_rng(0)
    truth = dice.normal(10, 3, ROWS)
    values = (truth + dice.normal(0, 1, ROWS)).astype(np.float32)

    measured = evaluate.measure_all("Regression", truth, Answers(None, None, values), ())

    assert set(measured) == set(metrics_for("Regression"))
    assert measured["rmse"] == pytest.approx(sk.root_mean_squared_error(truth, values), rel=1e-6)
    assert measured["r2"] == pytest.approx(sk.r2_score(truth, values), rel=1e-6)


@pytest.mark.parametrize("task", ["Classification", "Regression"])
def test_no_metric_survives_an_answer_that_is_no_number(task):
    truth, answers, classes = classified()
    broken = np.full(ROWS, np.nan, dtype=np.float32)
    if task == "Regression":
        answers, classes = Answers(None, None, broken), ()
    else:
        answers = Answers(answers.labels, np.stack([broken, broken], axis=1), None)

    measured = evaluate.measure_all(task, truth, answers, classes)

    assert all(np.isnan(value) for value in measured.values())


def test_no_metric_is_defined_without_rows_or_with_one_class():
    truth, answers, classes = classified()
    nothing = Answers(answers.labels[:0], answers.probabilities[:0], None)

    assert np.isnan(evaluate.measure("accuracy", truth[:0], nothing, classes))
    assert np.isnan(evaluate.measure("roc_auc", np.zeros(ROWS, np.int64), answers, classes))


def test_the_score_is_the_last_class_of_two_and_the_winner_of_more():
    two = Answers(np.array([1]), np.array([[0.3, 0.7]], np.float32), None)
    three = Answers(np.array([0]), np.array([[0.6, 0.3, 0.1]], np.float32), None)
    value = Answers(None, None, np.array([4.5], np.float32))

    assert [float(each.scores[0]) for each in (two, three, value)] == pytest.approx([0.7, 0.6, 4.5])
