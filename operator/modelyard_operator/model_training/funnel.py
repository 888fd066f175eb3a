"""The one way from a wish to a run: every wish passes the same questions in the same order.

Pure.  `wishes` finds what is new, `admit` keeps at most one wish waiting, `judge` answers for it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from modelyard_core.durations import parse_duration
from modelyard_operator import naming
from modelyard_operator.api.v1alpha1.model_training import ModelTraining
from modelyard_operator.api.v1alpha1.training_status import Request
from modelyard_operator.model_training import reasons, run_key
from modelyard_operator.model_training.ledger import DAY, Ledger
from modelyard_operator.model_training.observed import Observed, Version

UNHELPFUL_LIMIT = 3
"""Drift-caused runs in a row without a fit model that open the circuit."""
LONGEST_COOLDOWN = timedelta(days=7)
DATA_RECHECK = timedelta(seconds=15)

_RANK = {"Drift": 0, "Manual": 1, "Spec": 2}
"""A wish of a higher rank waits for less, so it may take the place of one that waits."""


@dataclass(frozen=True, slots=True)
class Run:
    """Train now, under this key."""

    key: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Not yet; `until` is when the answer can change by itself."""

    reason: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Refuse:
    """Never, for this wish."""

    reason: str
    version: Version | None = None


Ruling = Run | Hold | Refuse


@dataclass(frozen=True, slots=True)
class Case:
    """One wish and all that is known when it is judged."""

    request: Request
    training: ModelTraining
    ledger: Ledger
    world: Observed

    @property
    def key(self) -> str:
        """The key that its run would have."""
        spec, request = self.training.spec, self.request
        return run_key.run_key(
            spec,
            spec.runtime.image or self.world.images.training,
            self.world.data.digest,
            run_key.evidence(request.source, request.token),
        )


def take_in(training: ModelTraining, ledger: Ledger, world: Observed) -> Ledger:
    """Return the ledger with everything that is newly wished for."""
    spec, annotations = training.spec, training.metadata.annotations
    is_first = ledger.observed_spec_hash is None and ledger.observed_retrain is None
    ledger = _take_drift(ledger, world)

    hash_now = run_key.spec_hash(spec)
    wants_spec = spec.triggers.on_spec_change and hash_now != ledger.observed_spec_hash
    retrain = annotations.get(naming.RETRAIN_ANNOTATION, "")[:128]
    if retrain and retrain != ledger.observed_retrain and not (is_first and wants_spec):
        # The annotation of an object that is new here has done its work elsewhere.
        ledger = admit(ledger, _wish(retrain, "Manual", world.now))
    if wants_spec:
        token = "spec-" + hash_now.removeprefix("sha256:")[:8]
        ledger = admit(ledger, _wish(token, "Spec", world.now))
    return replace(
        ledger,
        observed_spec_hash=hash_now,
        observed_retrain=retrain or ledger.observed_retrain,
    )


def _take_drift(ledger: Ledger, world: Observed) -> Ledger:
    for asked in world.drift:
        if not ledger.has_taken_up(asked.monitor, asked.id):
            ledger = admit(ledger, _wish(asked.id[:128], "Drift", world.now))
            ledger = ledger.take_up(asked.monitor, asked.id)
    return ledger


def _wish(token: str, source: Literal["Spec", "Manual", "Drift"], now: datetime) -> Request:
    return Request(token=token, source=source, at=now, outcome="Pending", reason=reasons.RECEIVED)


def admit(ledger: Ledger, wish: Request) -> Ledger:
    """Return the ledger with at most one wish waiting: the newest one of the highest rank."""
    waiting = ledger.pending
    if waiting is None:
        return ledger.record(wish)
    if _RANK[wish.source] < _RANK[waiting.source]:
        covered = {"outcome": "Superseded", "reason": reasons.COVERED_BY_PENDING}
        return ledger.record(wish.model_copy(update=covered))
    replaced = ledger.amend(waiting, outcome="Superseded", reason=reasons.NEWER_REQUEST)
    return replaced.record(wish)


def judge(case: Case) -> Ruling:
    """Return the first answer that is not "go on"; who passes every question runs."""
    for question in _QUESTIONS:
        answer = question(case)
        if answer is not None:
            return answer
    return Run(case.key)


def _suspended(case: Case) -> Ruling | None:
    return Hold(reasons.SUSPENDED) if case.training.spec.suspend else None


def _stale(case: Case) -> Ruling | None:
    """Drift of a model that no longer serves, or that its monitor no longer asks about."""
    if case.request.source != "Drift":
        return None
    asked = next((d for d in case.world.drift if d.id[:128] == case.request.token), None)
    serves = asked and (not asked.served_digest or asked.served_digest in case.world.served_digests)
    return None if serves else Refuse(reasons.STALE_EVIDENCE)


def _not_helping(case: Case) -> Ruling | None:
    is_open = case.ledger.unhelpful_drift_runs >= UNHELPFUL_LIMIT
    if case.request.source == "Drift" and is_open:
        return Refuse(reasons.RETRAINING_NOT_HELPING)
    return None


def _in_flight(case: Case) -> Ruling | None:
    return Hold(reasons.RUN_IN_FLIGHT) if case.ledger.run else None


def _data_absent(case: Case) -> Ruling | None:
    if case.world.data.problem:
        return Hold(reasons.DATA_NOT_FOUND, until=case.world.now + DATA_RECHECK)
    return None


def _already_trained(case: Case) -> Ruling | None:
    done = next((v for v in reversed(case.world.versions) if v.run_key == case.key), None)
    if done is None:
        return None
    is_drift = case.request.source == "Drift"
    return Refuse(reasons.DATA_UNCHANGED if is_drift else reasons.ALREADY_TRAINED, done)


def _cooling_down(case: Case) -> Ruling | None:
    last, now = case.ledger.last_run, case.world.now
    if last is None or case.request.source == "Spec":
        return None
    if case.request.source == "Manual" and last.verdict is None:
        return None  # a person who repairs the data does not wait
    until = last.finished_at + cooldown(case)
    return Hold(reasons.COOLING_DOWN, until=until) if now < until else None


def cooldown(case: Case) -> timedelta:
    """Return how long this wish waits after the last run."""
    base = parse_duration(case.training.spec.triggers.cooldown)
    if case.request.source != "Drift":
        return base
    doubled = base * (1 << min(case.ledger.unhelpful_drift_runs, UNHELPFUL_LIMIT))
    return min(doubled, max(base, LONGEST_COOLDOWN))


def _budget_spent(case: Case) -> Ruling | None:
    limit = case.training.spec.triggers.max_runs_per_day
    recent = [moment for moment in case.ledger.started if case.world.now - moment < DAY]
    if len(recent) < limit:
        return None
    return Hold(reasons.BUDGET_EXHAUSTED, until=sorted(recent)[-limit] + DAY)


_QUESTIONS: tuple[Callable[[Case], Ruling | None], ...] = (
    _suspended,
    _stale,
    _not_helping,
    _in_flight,
    _data_absent,
    _already_trained,
    _cooling_down,
    _budget_spent,
)
