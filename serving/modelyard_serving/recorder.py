"""Live counts over the profile's bins, for each role: what drift is measured from.

A request costs one list append; the counting is done for many rows at once, soon after.  A reader
first counts what waits, so its answer is exact at that instant.  Everything here runs on the event
loop's thread; nothing is ever reset, so any number of readers may come and miss.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np

from modelyard_core.reference import CategoryProfile, NumericProfile, Profile
from modelyard_core.roles import Role
from modelyard_core.signature import Signature
from modelyard_core.sketch import Counts, RoleSketch, Sketch
from modelyard_serving import codec
from modelyard_serving.codec import Array
from modelyard_serving.errors import Unservable

FOLD_AFTER_ROWS = 512
FOLD_AFTER_SECONDS = 0.25
BINARY_CLASSES = 2


class Scheduler(Protocol):
    """Runs a callable on the event loop's thread, later."""

    def __call__(self, seconds: float, callback: Callable[[], None], /) -> object: ...


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose counts these are."""

    boot: str
    started: datetime
    model: str
    version: str
    digest: str


class _NumericColumn:
    """Counts of one numeric column, in the float type that the model sees."""

    def __init__(self, profile: NumericProfile, dtype: np.dtype[np.generic]) -> None:
        # Edges are rounded as the values were: x <= edge holds after rounding when it held before.
        self._edges = np.array(profile.edges, dtype=dtype)
        self._low, self._high = np.array([profile.minimum, profile.maximum], dtype=dtype)
        self._bins = np.zeros(len(profile.edges) + 1, dtype=np.int64)
        self._missing = 0
        self._out_of_range = 0

    def add(self, values: Array) -> None:
        present = values[~np.isnan(values)] if values.dtype.kind == "f" else values
        cells = np.searchsorted(self._edges, present, side="left")
        self._bins += np.bincount(cells, minlength=len(self._bins))
        self._missing += len(values) - len(present)
        self._out_of_range += int(((present < self._low) | (present > self._high)).sum())

    def counts(self) -> Counts:
        bins = tuple(int(count) for count in self._bins)
        return Counts(bins, missing=self._missing, out_of_range=self._out_of_range)


class _CategoryColumn:
    """Counts of one categorical column; the last cell is *other*, an empty string is missing."""

    def __init__(self, profile: CategoryProfile) -> None:
        self._cells = dict.fromkeys(profile.other, len(profile.categories))
        self._cells |= {category: cell for cell, category in enumerate(profile.categories)}
        self._bins = [0] * (len(profile.categories) + 1)
        self._missing = 0
        self._new = 0

    def add(self, values: Array) -> None:
        for value, count in Counter(values.tolist()).items():
            cell = self._cells.get(value)
            if cell is not None:
                self._bins[cell] += count
            elif value == "":
                self._missing += count
            else:
                self._new += count

    def counts(self) -> Counts:
        return Counts(tuple(self._bins), missing=self._missing, new=self._new)


_Column = _NumericColumn | _CategoryColumn


@dataclass(slots=True)
class _RoleCounts:
    """One role: totals and columns, and the arrays that are not counted yet."""

    columns: Mapping[str, _Column]
    prediction: _NumericColumn
    rows: int = 0
    requests: int = 0


class Recorder:
    """Counts of one served bundle since the process started."""

    def __init__(
        self, identity: Identity, signature: Signature, profile: Profile, later: Scheduler
    ) -> None:
        _check_columns(signature, profile)
        self._identity = identity
        self._signature = signature
        self._profile = profile
        self._later = later
        self._roles: dict[Role, _RoleCounts] = {}
        self._waiting: list[tuple[Role, int, Mapping[str, Array], Array]] = []
        self._waiting_rows = 0
        self._types = {t.name: codec.NUMPY_TYPES[t.datatype] for t in signature.inputs}

    @property
    def total_requests(self) -> int:
        """Requests recorded so far, of all roles."""
        return len(self._waiting) + sum(role.requests for role in self._roles.values())

    def record(self, role: Role, rows: int, feeds: Mapping[str, Array], scores: Array) -> None:
        """Remember one answered request; counted within a fraction of a second."""
        before = self._waiting_rows
        if not self._waiting:
            self._later(FOLD_AFTER_SECONDS, self.fold)
        self._waiting.append((role, rows, feeds, scores))
        self._waiting_rows += rows
        if before < FOLD_AFTER_ROWS <= self._waiting_rows:
            self._later(0, self.fold)  # as soon as the answer is on its way

    def fold(self) -> None:
        """Count everything that waits."""
        waiting, self._waiting, self._waiting_rows = self._waiting, [], 0
        for role in {entry[0] for entry in waiting}:
            mine = [entry for entry in waiting if entry[0] is role]
            counts = self._role(role)
            counts.requests += len(mine)
            counts.rows += sum(rows for _, rows, _, _ in mine)
            for name, column in counts.columns.items():
                column.add(np.concatenate([feeds[name].reshape(-1) for _, _, feeds, _ in mine]))
            counts.prediction.add(np.concatenate([scores for _, _, _, scores in mine]))

    def _role(self, role: Role) -> _RoleCounts:
        if role not in self._roles:
            numeric = {
                column.name: _NumericColumn(column, _comparable(self._types[column.name]))
                for column in self._profile.numeric
            }
            categories = {c.name: _CategoryColumn(c) for c in self._profile.categories}
            score = _NumericColumn(self._profile.prediction, np.dtype(np.float32))
            self._roles[role] = _RoleCounts({**numeric, **categories}, score)
        return self._roles[role]

    def snapshot(self, at: datetime) -> Sketch:
        """Return the counts of everything recorded before this call."""
        self.fold()
        roles = {
            str(role): RoleSketch(
                rows=counts.rows,
                requests=counts.requests,
                features={name: column.counts() for name, column in counts.columns.items()},
                prediction=counts.prediction.counts(),
            )
            for role, counts in sorted(self._roles.items())
        }
        who = self._identity
        return Sketch(who.boot, at, who.model, who.version, who.digest, roles, who.started)


def _comparable(dtype: np.dtype[np.generic]) -> np.dtype[np.generic]:
    return dtype if dtype.kind == "f" else np.dtype(np.float64)


def _check_columns(signature: Signature, profile: Profile) -> None:
    inputs = {tensor.name: tensor for tensor in signature.inputs}
    for names, is_text in (
        ([column.name for column in profile.numeric], False),
        ([column.name for column in profile.categories], True),
    ):
        for name in names:
            tensor = inputs.get(name)
            if tensor is None:
                raise Unservable(f"the profile's column {name!r} is no input of the model")
            if (tensor.datatype == "BYTES") is not is_text or tensor.shape not in ((-1,), (-1, 1)):
                raise Unservable(f"the profile's column {name!r} is no column of single values")
    if signature.score not in {tensor.name for tensor in signature.outputs}:
        raise Unservable(f"the signature's score {signature.score!r} is no output of the model")


def scores_of(array: Array) -> Array:
    """Return one score a row: the last class' probability, the winner's, or the value itself."""
    if array.ndim == 1 or array.shape[1] == 1:
        return array.reshape(-1)
    if array.shape[1] == BINARY_CLASSES:
        return array[:, -1]
    winners: Array = array.max(axis=1)
    return winners
