"""A model's reference, pods that count rows against it, and watches: valid by default."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import numpy as np

from modelyard_core.reference import CategoryProfile, NumericProfile, Profile
from modelyard_core.roles import Role
from modelyard_core.sketch import Counts, RoleSketch, Sketch, merge
from modelyard_core.watch import Target, Watch

DIGEST = "sha256:" + "a" * 64
OTHER_DIGEST = "sha256:" + "b" * 64
NOON = 1_767_268_800.0
"""2026-01-01 12:00 UTC: a boundary of every window up to 12 hours."""
CITIES = ("berlin", "oslo", "rome")


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def a_numeric(name: str, values: np.ndarray, bins: int = 10, missing: int = 0) -> NumericProfile:
    edges = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1]))
    counts = np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1)
    return NumericProfile(
        name=name,
        edges=tuple(float(edge) for edge in edges),
        counts=tuple(int(count) for count in counts),
        missing=missing,
        minimum=float(values.min()),
        maximum=float(values.max()),
    )


def a_profile(features: int = 2, rows: int = 10_000, bins: int = 10, seed: int = 1) -> Profile:
    """Independent standard normal features, a category, and a uniform score."""
    random = np.random.default_rng(seed)
    return Profile(
        rows=rows,
        numeric=tuple(a_numeric(f"x{i}", random.normal(size=rows), bins) for i in range(features)),
        categories=(CategoryProfile("city", CITIES, (rows // 2, rows // 3, 0, 10), ("bonn",), 0),),
        prediction=a_numeric("score", random.uniform(size=rows), bins),
    )


def without_categories(profile: Profile) -> Profile:
    return replace(profile, categories=())


def a_watch(**changes: object) -> Watch:
    base = Watch(
        deployment="rain",
        reference_digest=DIGEST,
        reference_version=1,
        targets=(Target("rain-1", "rain-1.demo.svc"),),
        windows_seconds=(60,),
        budget=0.5,
        budget_seconds=30 * 86_400,
        min_rows=100,
        feature_effect=0.05,
        prediction_effect=0.05,
        uid="uid-1",
    )
    return replace(base, **changes)


def count_numeric(profile: NumericProfile, values: Iterable[float]) -> Counts:
    values = np.asarray(list(values), dtype=float)
    missing = int(np.isnan(values).sum())
    values = values[~np.isnan(values)]
    bins = np.bincount(np.searchsorted(profile.edges, values), minlength=len(profile.counts))
    outside = (values < profile.minimum) | (values > profile.maximum)
    return Counts(tuple(int(n) for n in bins), missing=missing, out_of_range=int(outside.sum()))


def count_categories(profile: CategoryProfile, values: Iterable[str | None]) -> Counts:
    bins = [0] * len(profile.counts)
    missing = new = 0
    for value in values:
        if value is None:
            missing += 1
        elif value in profile.categories:
            bins[profile.categories.index(value)] += 1
        elif value in profile.other:
            bins[-1] += 1
        else:
            new += 1
    return Counts(tuple(bins), missing=missing, new=new)


def count(profile: Profile, columns: Mapping[str, Iterable[object]], score: object) -> RoleSketch:
    """Return what a pod has counted after one batch of rows."""
    score = np.asarray(score, dtype=float)
    numeric = {p.name: count_numeric(p, columns[p.name]) for p in profile.numeric}
    named = {p.name: count_categories(p, columns[p.name]) for p in profile.categories}
    return RoleSketch(
        rows=len(score),
        requests=len(score),
        features=numeric | named,
        prediction=count_numeric(profile.prediction, score),
    )


def a_batch(
    profile: Profile,
    rows: int,
    random: np.random.Generator,
    shift: float = 0.0,
    columns: Mapping[str, Iterable[object]] | None = None,
) -> RoleSketch:
    """Rows like the reference, the first feature shifted by so many deviations."""
    drawn: dict[str, Iterable[object]] = {
        p.name: random.normal(size=rows) + (shift if i == 0 else 0.0)
        for i, p in enumerate(profile.numeric)
    }
    for p in profile.categories:
        drawn[p.name] = random.choice(CITIES[:2], size=rows, p=[0.6, 0.4])
    return count(profile, drawn | dict(columns or {}), random.uniform(size=rows))


@dataclass
class Pod:
    """One process: counts for ever, and is gone with all of it."""

    boot: str
    started: float
    digest: str = DIGEST
    roles: dict[Role, RoleSketch] = field(default_factory=dict)

    def serve(self, batch: RoleSketch, role: Role = Role.STABLE) -> None:
        self.roles[role] = merge(self.roles[role], batch) if role in self.roles else batch

    def sketch(self, now: float) -> Sketch:
        return Sketch(
            boot=self.boot,
            at=moment(now),
            model="rain",
            version="1",
            digest=self.digest,
            roles=dict(self.roles),
            started=moment(self.started),
        )
