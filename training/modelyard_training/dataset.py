"""The rows of a run: decoded by role, checked against the contract, counted.

All violations of the contract are collected before the run is refused, so that one look at the
condition is enough to repair the data.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from modelyard_core.estimators import CLASSIFICATION
from modelyard_core.runs import ColumnContract, Feature, RunRequest
from modelyard_training import columns, source
from modelyard_training.columns import Doubles, Texts
from modelyard_training.failures import BadData, BadSpec

SHOWN_VIOLATIONS = 3


@dataclass(frozen=True, slots=True)
class Dataset:
    """The rows of a run, in the order of the file."""

    frame: pd.DataFrame
    """Feature columns, and what a champion needs besides: float32 or text."""
    target: npt.NDArray[Any]
    """Classes (int64 or text) or values (float64)."""
    keys: Texts | None
    moments: Doubles | None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.target)


def load(
    request: RunRequest, snapshot: source.Snapshot, extra: Mapping[str, str] | None = None
) -> Dataset:
    """Return the checked rows.

    `extra` names columns (and their types) that a champion reads: they are loaded when they are
    there and fit, and left out when not.

    Raises:
        BadData: columns, types or values are not what the request says.
    """
    split = request.split
    special = (split.key_column, split.time_column, request.target)
    contracted = tuple(rule.name for rule in request.contract.columns)
    needed = (*(feature.name for feature in request.features), *contracted)
    extra = {k: v for k, v in (extra or {}).items() if k not in needed}
    table = source.read_columns(
        snapshot, (*needed, *(name for name in special if name)), tuple(extra)
    )
    frame = _frame(request.features, table)
    check_contract(request, frame, table)
    for name, kind in extra.items():
        _add_extra(frame, name, kind, table)
    return Dataset(
        frame=pd.DataFrame(frame),
        target=_target(request, table),
        keys=columns.texts(table[split.key_column], split.key_column) if split.key_column else None,
        moments=(
            columns.moments(table[split.time_column], split.time_column)
            if split.strategy == "Time" and split.time_column
            else None
        ),
    )


def row_digest(frame: pd.DataFrame, target: npt.NDArray[Any]) -> str:
    """Return a digest of the rows that depends neither on their order nor on the file's format."""
    whole = frame.assign(**{"": target})
    total = int(pd.util.hash_pandas_object(whole, index=False).sum()) % 2**64
    return f"rows:{len(target)}:{total:016x}"


def check_contract(request: RunRequest, frame: Mapping[str, Any], table: Any) -> None:
    """Refuse rows that break the contract.

    Raises:
        BadData: with the first violations and their number.
    """
    violations = []
    least = request.contract.min_rows
    if table.num_rows < least:
        violations.append(f"{table.num_rows} rows are fewer than the {least} of contract.minRows")
    types = {feature.name: feature.type for feature in request.features}
    for rule in request.contract.columns:
        kind = types.get(rule.name, "Float")
        if kind == "Category" and (rule.min is not None or rule.max is not None):
            raise BadSpec(
                "InvalidSpec", f"contract: {rule.name!r} is a Category and has no min or max"
            )
        values = (
            frame[rule.name] if rule.name in frame else columns.floats(table[rule.name], rule.name)
        )
        violations += _violations(rule, values)
    if violations:
        more = len(violations) - SHOWN_VIOLATIONS
        tail = f"; and {more} more" if more > 0 else ""
        raise BadData("ContractViolated", "; ".join(violations[:SHOWN_VIOLATIONS]) + tail)


def _violations(rule: ColumnContract, values: npt.NDArray[Any]) -> list[str]:
    absent = values == "" if values.dtype == object else np.isnan(values)
    found = []
    share = float(absent.mean())
    if rule.max_missing is not None and share > rule.max_missing:
        found.append(
            f"column {rule.name!r}: {share:.1%} of the values are missing, "
            f"at most {rule.max_missing:.1%} may be"
        )
    for limit, word in ((rule.min, "below"), (rule.max, "above")):
        if limit is None:
            continue
        with np.errstate(invalid="ignore"):
            outside = values < limit if word == "below" else values > limit
        if outside.any():
            found.append(f"column {rule.name!r}: {int(outside.sum())} values are {word} {limit:g}")
    return found


def _frame(features: tuple[Feature, ...], table: Any) -> dict[str, Any]:
    return {feature.name: _cells(feature.type, feature.name, table) for feature in features}


def _cells(kind: str, name: str, table: Any) -> Any:
    if kind == "Float":
        return columns.floats(table[name], name)
    return pd.array(columns.texts(table[name], name), dtype=object)


def _add_extra(frame: dict[str, Any], name: str, kind: str, table: Any) -> None:
    if name not in table.column_names:
        return
    try:
        frame[name] = _cells(kind, name, table)
    except BadData:
        return


def _target(request: RunRequest, table: Any) -> npt.NDArray[Any]:
    name = request.target
    if request.task == CLASSIFICATION:
        return columns.labels(table[name], name)
    values = columns.doubles(table[name], name)
    columns.refuse(np.isnan(values), name, "are missing; remove these rows", "TargetMissing")
    columns.refuse(np.isinf(values), name, "are infinite")
    if float(values.min()) == float(values.max()):
        raise BadData("OneValueOnly", f"every row has the same value in column {name!r}")
    return values
