"""The metrics that a gate may name: for which task, and which way is better.

Only names and directions; the training Job computes them on the exported model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelyard_core.estimators import CLASSIFICATION, REGRESSION

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of a model over a holdout."""

    name: str
    task: str
    higher_is_better: bool
    about: str
    binary_only: bool = False


METRICS: Mapping[str, Metric] = {
    each.name: each
    for each in (
        Metric("roc_auc", CLASSIFICATION, True, "area under the ROC curve (classes: one vs rest)"),
        Metric("log_loss", CLASSIFICATION, False, "mean negative log likelihood (nats)"),
        Metric("accuracy", CLASSIFICATION, True, "share of rows with the right label"),
        Metric("f1", CLASSIFICATION, True, "F1 of the positive class (classes: macro mean)"),
        Metric("precision", CLASSIFICATION, True, "precision (classes: macro mean)"),
        Metric("recall", CLASSIFICATION, True, "recall (classes: macro mean)"),
        Metric("average_precision", CLASSIFICATION, True, "area under precision-recall", True),
        Metric("brier", CLASSIFICATION, False, "mean squared error of the probabilities"),
        Metric("mae", REGRESSION, False, "mean absolute error"),
        Metric("rmse", REGRESSION, False, "root of the mean squared error"),
        Metric("r2", REGRESSION, True, "share of the variance explained"),
        Metric("mape", REGRESSION, False, "mean absolute error relative to |target|"),
    )
}


def metrics_for(task: str) -> tuple[str, ...]:
    """Return the metrics of a task, the headline one first.

    >>> metrics_for("Regression")
    ('mae', 'rmse', 'r2', 'mape')
    """
    return tuple(name for name, metric in METRICS.items() if metric.task == task)
