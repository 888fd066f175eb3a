"""The algorithms that a spec may name, and every parameter that they take.

The operator's API derives its validation from this table and the training Job reads its
parameters by it, so both refuse the same values with the same words.  Only what converts to ONNX
without a difference is here: nothing is added before its row of the conformance matrix is clean.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

CLASSIFICATION = "Classification"
REGRESSION = "Regression"
TASKS = (CLASSIFICATION, REGRESSION)

NONE = "none"
"""How a spec writes "no limit" for a parameter that is `optional`."""

INTEGER_PATTERN = r"^[0-9]{1,9}$"
NUMBER_PATTERN = r"^[0-9]{1,12}(\.[0-9]{1,12})?([eE][+-]?[0-9]{1,3})?$"

ParameterValue = int | float | str | None


class BadParameterError(ValueError):
    """A parameter that the estimator does not take; the message is one sentence with the fix."""


class Kind(StrEnum):
    """How the text of a parameter is read."""

    INTEGER = "Integer"
    NUMBER = "Number"
    CHOICE = "Choice"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of an estimator: how it is read, its bounds (inclusive) and its default."""

    name: str
    kind: Kind
    default: str
    about: str
    minimum: float = 0
    maximum: float = 0
    choices: tuple[str, ...] = ()
    optional: bool = False
    tasks: tuple[str, ...] = TASKS

    @property
    def expected(self) -> str:
        """Return what the parameter takes, as the end of "must be …"."""
        if self.kind is Kind.CHOICE:
            return "one of " + ", ".join(self.choices)
        article = "an integer" if self.kind is Kind.INTEGER else "a number"
        either = f", or {NONE}" if self.optional else ""
        return f"{article} from {self.minimum:g} to {self.maximum:g}{either}"

    def parse(self, text: str) -> ParameterValue:
        """Return the value that `text` means.

        Raises:
            BadParameterError: the text is not what the parameter takes.
        """
        if self.kind is Kind.CHOICE:
            if text in self.choices:
                return None if text == NONE else text
        elif self.optional and text == NONE:
            return None
        elif re.fullmatch(self.pattern, text):
            value = int(text) if self.kind is Kind.INTEGER else float(text)
            if math.isfinite(value) and self.minimum <= value <= self.maximum:
                return value
        raise BadParameterError(f"{self.name} must be {self.expected}, not {text[:40]!r}")

    @property
    def pattern(self) -> str:
        """Return the regular expression (RE2) of a number that this parameter takes."""
        return INTEGER_PATTERN if self.kind is Kind.INTEGER else NUMBER_PATTERN


@dataclass(frozen=True, slots=True)
class Estimator:
    """One algorithm of the allow-list."""

    name: str
    tasks: tuple[str, ...]
    parameters: tuple[Parameter, ...]

    def takes(self, task: str) -> tuple[Parameter, ...]:
        """Return the parameters that this estimator has for a task."""
        return tuple(each for each in self.parameters if task in each.tasks)


_CLASS_WEIGHT = Parameter(
    "class_weight",
    Kind.CHOICE,
    NONE,
    "weigh classes inversely to their frequency",
    choices=(NONE, "balanced"),
    tasks=(CLASSIFICATION,),
)

LOGISTIC = Estimator(
    "Logistic",
    (CLASSIFICATION,),
    (
        Parameter("C", Kind.NUMBER, "1.0", "inverse strength of L2 regularisation", 1e-6, 1e6),
        Parameter("max_iter", Kind.INTEGER, "1000", "most iterations of the solver", 10, 10_000),
        Parameter("tol", Kind.NUMBER, "0.0001", "where the solver stops", 1e-8, 1e-1),
        _CLASS_WEIGHT,
    ),
)

RANDOM_FOREST = Estimator(
    "RandomForest",
    TASKS,
    (
        Parameter("n_estimators", Kind.INTEGER, "100", "number of trees", 1, 1_000),
        Parameter("max_depth", Kind.INTEGER, NONE, "deepest level", 1, 64, optional=True),
        Parameter("min_samples_leaf", Kind.INTEGER, "1", "fewest rows in a leaf", 1, 100_000),
        Parameter(
            "max_features",
            Kind.CHOICE,
            "sqrt",
            "features looked at in a split",
            choices=("sqrt", "log2", "all"),
        ),
        _CLASS_WEIGHT,
    ),
)

HIST_GRADIENT_BOOSTING = Estimator(
    "HistGradientBoosting",
    TASKS,
    (
        Parameter("learning_rate", Kind.NUMBER, "0.1", "shrinkage of each tree", 0.0001, 1),
        Parameter("max_iter", Kind.INTEGER, "100", "number of trees (per class)", 1, 2_000),
        Parameter("max_leaf_nodes", Kind.INTEGER, "31", "leaves of a tree", 2, 255, optional=True),
        Parameter("max_depth", Kind.INTEGER, NONE, "deepest level", 1, 64, optional=True),
        Parameter("min_samples_leaf", Kind.INTEGER, "20", "fewest rows in a leaf", 1, 100_000),
        Parameter("l2_regularization", Kind.NUMBER, "0", "L2 penalty of leaf values", 0, 1e6),
        Parameter("max_bins", Kind.INTEGER, "255", "bins of a feature", 2, 255),
        Parameter(
            "loss",
            Kind.CHOICE,
            "squared_error",
            "what the trees minimise",
            choices=("squared_error", "absolute_error"),
            tasks=(REGRESSION,),
        ),
        _CLASS_WEIGHT,
    ),
)

ESTIMATORS: Mapping[str, Estimator] = {
    each.name: each for each in (LOGISTIC, RANDOM_FOREST, HIST_GRADIENT_BOOSTING)
}


def parse_params(estimator: str, task: str, params: Mapping[str, str]) -> dict[str, ParameterValue]:
    """Return every parameter of the estimator as a value, defaults filled in.

    >>> parse_params("Logistic", "Classification", {"C": "0.5"})["C"]
    0.5

    Raises:
        BadParameterError: unknown estimator, unknown parameter, or a value out of its bounds.
    """
    known = ESTIMATORS.get(estimator)
    if known is None:
        raise BadParameterError(
            f"estimator must be one of {', '.join(ESTIMATORS)}, not {estimator[:40]!r}"
        )
    if task not in known.tasks:
        raise BadParameterError(f"{estimator} does not do {task}; it does {', '.join(known.tasks)}")
    taken = {each.name: each for each in known.takes(task)}
    for name in sorted(params):
        if name not in taken:
            raise BadParameterError(
                f"{estimator} has no parameter {name[:40]!r} for {task}; it has {', '.join(taken)}"
            )
    return {name: each.parse(params.get(name, each.default)) for name, each in taken.items()}
