"""CEL rules of a ModelTraining that follow from core's tables of estimators and metrics.

The training Job reads its parameters by the same tables, so both refuse the same values.
"""

from collections.abc import Iterator

from modelyard_core import estimators, metrics
from modelyard_operator.api.base import Cel


def _quoted(words: tuple[str, ...]) -> str:
    return "[" + ", ".join(f"'{word}'" for word in words) + "]"


def parameter_rules() -> Iterator[Cel]:
    """Yield what each estimator takes: the names first, then the range of each value."""
    for estimator in estimators.ESTIMATORS.values():
        guard = f"self.estimator != '{estimator.name}' || !has(self.params)"
        names = tuple(parameter.name for parameter in estimator.parameters)
        yield Cel(
            f"{guard} || self.params.all(name, name in {_quoted(names)})",
            f"{estimator.name} takes the params {', '.join(names)}; rename or remove the others",
        )
        for parameter in estimator.parameters:
            value = f"self.params['{parameter.name}']"
            yield Cel(
                f"{guard} || !('{parameter.name}' in self.params) || {_is_valid(parameter, value)}",
                f"{estimator.name}: {parameter.name} must be {parameter.expected}",
            )


def _is_valid(parameter: estimators.Parameter, value: str) -> str:
    if parameter.kind is estimators.Kind.CHOICE:
        return f"{value} in {_quoted(parameter.choices)}"
    bounds = (
        f"({value}.matches(r'{parameter.pattern}') && double({value}) >= "
        f"{float(parameter.minimum)!r} && double({value}) <= {float(parameter.maximum)!r})"
    )
    return f"({value} == '{estimators.NONE}' || {bounds})" if parameter.optional else bounds


def task_rules() -> Iterator[Cel]:
    """Yield what belongs to one task only: estimators, parameters, metrics."""
    for task in estimators.TASKS:
        able = tuple(e.name for e in estimators.ESTIMATORS.values() if task in e.tasks)
        if len(able) < len(estimators.ESTIMATORS):
            yield Cel(
                f"self.task != '{task}' || self.pipeline.estimator in {_quoted(able)}",
                f"estimators for {task} are {', '.join(able)}",
            )
        foreign = sorted(
            {
                parameter.name
                for estimator in estimators.ESTIMATORS.values()
                for parameter in estimator.parameters
                if task not in parameter.tasks
            }
        )
        for name in foreign:
            yield Cel(
                f"self.task != '{task}' || !has(self.pipeline.params) || "
                f"!('{name}' in self.pipeline.params)",
                f"{name} has no meaning for {task}; remove it from pipeline.params",
            )
        known = metrics.metrics_for(task)
        yield Cel(
            f"self.task != '{task}' || !has(self.gates) || !has(self.gates.metrics) || "
            f"self.gates.metrics.all(gate, gate.name in {_quoted(known)})",
            f"metrics for {task} are {', '.join(known)}",
        )
