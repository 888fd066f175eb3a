"""What is remembered between passes: the part of the status that decisions read back."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from modelyard_operator.api.v1alpha1.training_status import (
    MAX_REQUESTS,
    HandledDrift,
    LastRun,
    ModelTrainingStatus,
    Request,
    RunStatus,
)

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Ledger:
    """Wishes and runs, as the last pass left them."""

    run: RunStatus | None = None
    last_run: LastRun | None = None
    requests: tuple[Request, ...] = ()
    observed_spec_hash: str | None = None
    observed_retrain: str | None = None
    observed_drift: tuple[HandledDrift, ...] = ()
    unhelpful_drift_runs: int = 0
    started: tuple[datetime, ...] = ()
    last_version: int = 0
    """The highest number that was ever given, so that a deleted version's is not given again."""

    @classmethod
    def read(cls, status: ModelTrainingStatus | None) -> "Ledger":
        """Return what a status remembers."""
        if status is None:
            return cls()
        return cls(
            run=status.run,
            last_run=status.last_run,
            requests=status.requests,
            observed_spec_hash=status.observed_spec_hash,
            observed_retrain=status.observed_retrain,
            observed_drift=status.observed_drift,
            unhelpful_drift_runs=status.unhelpful_drift_runs,
            started=status.started,
            last_version=status.last_version,
        )

    @property
    def pending(self) -> Request | None:
        """The one wish that waits."""
        return next((r for r in self.requests if r.outcome == "Pending"), None)

    def record(self, request: Request) -> "Ledger":
        """Return the ledger with one more wish; the oldest settled one makes room."""
        return replace(self, requests=_newest((*self.requests, request)))

    def amend(self, request: Request, **changes: object) -> "Ledger":
        """Return the ledger in which this wish has changed."""
        after = tuple(
            r.model_copy(update=changes) if _is_same(r, request) else r for r in self.requests
        )
        return replace(self, requests=after)

    def begin(self, run: RunStatus) -> "Ledger":
        """Return the ledger in which a run has started.

        A run that a person asked for closes the circuit that drift may have opened.
        """
        recent = tuple(moment for moment in self.started if run.started_at - moment < DAY)
        return replace(
            self,
            run=run,
            started=(*recent, run.started_at)[-100:],
            unhelpful_drift_runs=self.unhelpful_drift_runs if run.trigger == "Drift" else 0,
        )

    def end(self, ended: LastRun, *, is_fit: bool) -> "Ledger":
        """Return the ledger in which the run in flight has ended.

        `is_fit` says whether its model could replace the champion.
        """
        run = self.run
        assert run is not None
        unhelpful = 0 if is_fit else self.unhelpful_drift_runs + (run.trigger == "Drift")
        answer = {
            "outcome": "Succeeded" if ended.succeeded else "Failed",
            "reason": ended.reason,
            "version": ended.version,
            "verdict": ended.verdict,
        }
        return replace(
            self,
            run=None,
            last_run=ended,
            requests=tuple(
                r.model_copy(update=answer) if _answers(run, r) else r for r in self.requests
            ),
            unhelpful_drift_runs=unhelpful,
            last_version=max(self.last_version, ended.version or 0),
        )

    def has_taken_up(self, monitor: str, request: str) -> bool:
        """Return whether a DriftMonitor's request was seen before."""
        handled = any(h.monitor == monitor and h.id == request for h in self.observed_drift)
        return handled or any(r.source == "Drift" and r.token == request for r in self.requests)

    def take_up(self, monitor: str, request: str) -> "Ledger":
        """Return the ledger that remembers a DriftMonitor's newest request."""
        others = tuple(h for h in self.observed_drift if h.monitor != monitor)
        latest = HandledDrift(monitor=monitor, id=request)
        return replace(self, observed_drift=(*others, latest)[-MAX_REQUESTS:])


def request_id(token: str, at: datetime) -> str:
    """Return what tells one granted request from every other of the same training."""
    return f"{token}@{at:%Y-%m-%dT%H:%M:%SZ}"


def _is_same(one: Request, other: Request) -> bool:
    return (one.token, one.source, one.at) == (other.token, other.source, other.at)


def _answers(run: RunStatus, request: Request) -> bool:
    return request.outcome == "Running" and request.token == run.token


def _newest(requests: tuple[Request, ...]) -> tuple[Request, ...]:
    """Return at most 20 wishes; those that are still open stay."""
    surplus = len(requests) - MAX_REQUESTS
    kept = []
    for request in requests:
        if surplus > 0 and request.outcome not in ("Pending", "Running"):
            surplus -= 1
        else:
            kept.append(request)
    return tuple(kept)
