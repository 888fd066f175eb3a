"""From ledger and world to the status that people and programs read.

`explain` is the one source: conditions, phase and summary are renderings of its reasons.
"""

from typing import Literal

from modelyard_core.reasons import Reason, Severity
from modelyard_core.runs import Verdict
from modelyard_operator.api.conditions import Claim, Truth, settle
from modelyard_operator.api.resources import Obj
from modelyard_operator.api.v1alpha1.model_training import ModelTraining
from modelyard_operator.api.v1alpha1.training_status import (
    LatestVersion,
    ModelTrainingStatus,
    Request,
    VersionRef,
)
from modelyard_operator.model_training import funnel, reasons
from modelyard_operator.model_training.ledger import Ledger
from modelyard_operator.model_training.observed import Observed, Version

SUCCEEDED = "Succeeded"
STALLED = "Stalled"

Phase = Literal["Pending", "Running", "Succeeded", "Failed", "Suspended"]


def explain(
    training: ModelTraining, ledger: Ledger, world: Observed, run: Reason | None
) -> tuple[Reason, ...]:
    """Return why the training is as it is, the headline first.

    `run` says how the run in flight goes.
    """
    facts = [_held(training, ledger, world), _ended(ledger)]
    if run is not None:
        facts.insert(0, run)
    facts.append(_open_circuit(ledger))
    found = tuple(fact for fact in facts if fact is not None)
    return found or (_idle(training),)


def _held(training: ModelTraining, ledger: Ledger, world: Observed) -> Reason | None:
    """Return why the wish that waits waits."""
    wish = ledger.pending
    if training.spec.suspend:
        return Reason(
            reasons.SUSPENDED,
            training.metadata.name,
            "No new run starts while spec.suspend is true.",
            remedy="Set spec.suspend to false." if wish else "",
        )
    if wish is None or ledger.run is not None:
        return None
    ruling = funnel.judge(funnel.Case(wish, training, ledger, world))
    if not isinstance(ruling, funnel.Hold):
        return None
    sentence, remedy = _HELD[ruling.reason]
    until = f" until {ruling.until:%Y-%m-%d %H:%M:%SZ}" if ruling.until else ""
    words = {"wish": why(wish), "until": until, "problem": world.data.problem}
    return Reason(
        ruling.reason,
        training.metadata.name,
        sentence.format(**words),
        Severity.WARNING if ruling.reason == reasons.DATA_NOT_FOUND else Severity.INFO,
        eta=ruling.until,
        remedy=remedy,
        since=wish.at,
    )


_HELD = {
    reasons.DATA_NOT_FOUND: (
        "A run is wanted ({wish}), but {problem}.",
        "Create it; the run starts by itself.",
    ),
    reasons.COOLING_DOWN: (
        "A run is wanted ({wish}) and waits for the cooldown{until}.",
        "A shorter spec.triggers.cooldown starts it earlier.",
    ),
    reasons.BUDGET_EXHAUSTED: (
        "A run is wanted ({wish}) and waits for the daily budget{until}.",
        "A higher spec.triggers.maxRunsPerDay starts it earlier.",
    ),
}


def why(wish: Request) -> str:
    """Return what a wish came from, for the middle of a sentence."""
    match wish.source:
        case "Spec":
            return "the spec changed"
        case "Manual":
            return f"the retrain annotation says {wish.token}"
        case "Drift":
            return f"drift was found, {wish.token}"


def refusal(wish: Request, reason: str, version: Version | None) -> Reason:
    """Return why a wish was refused for good."""
    number = version.number if version else 0
    sentences = {
        reasons.STALE_EVIDENCE: "the model that drifted no longer serves",
        reasons.RETRAINING_NOT_HELPING: "the last runs for drift did not give a better model",
        reasons.ALREADY_TRAINED: f"version {number} was made from the same data and settings",
        reasons.DATA_UNCHANGED: f"the data is the same that version {number} learnt from",
    }
    return Reason(reason, wish.token, f"No run ({why(wish)}): {sentences[reason]}.")


def _ended(ledger: Ledger) -> Reason | None:
    last = ledger.last_run
    if last is None:
        return None
    if last.succeeded:
        severity = Severity.INFO if last.verdict is Verdict.BLESSED else Severity.WARNING
    else:
        severity = Severity.ERROR
    return Reason(
        last.reason, last.name, last.sentence, severity, since=last.finished_at, remedy=last.remedy
    )


def _open_circuit(ledger: Ledger) -> Reason | None:
    count = ledger.unhelpful_drift_runs
    if count < funnel.UNHELPFUL_LIMIT:
        return None
    return Reason(
        reasons.RETRAINING_NOT_HELPING,
        "drift",
        f"The last {count} runs for drift gave no model that could replace the champion; drift "
        "starts no more runs.",
        Severity.ERROR,
        {"runs": count},
        remedy="Look at the data and the features; a change of the spec or a manual run closes "
        "the circuit.",
    )


def _idle(training: ModelTraining) -> Reason:
    return Reason(
        reasons.WAITING_FOR_TRIGGER,
        training.metadata.name,
        "Nothing has been trained: spec.triggers.onSpecChange is false and nothing else has asked.",
        remedy="Set the annotation modelyard.dev/retrain to a new text to start a run.",
    )


# Renderings


def render(training: ModelTraining, ledger: Ledger, world: Observed, run: Reason | None) -> Obj:
    """Return the whole status as JSON."""
    facts = explain(training, ledger, world, run)
    before = training.status.conditions if training.status else ()
    generation = training.metadata.generation
    champion, latest = world.champion, world.versions[-1] if world.versions else None
    return ModelTrainingStatus(
        observed_generation=generation,
        phase=_phase(training, ledger),
        summary=facts[0].sentence[:1024],
        conditions=settle(
            before, _claims(training, ledger, facts), generation=generation, now=world.now
        ),
        champion=VersionRef(version=champion.number, digest=champion.digest) if champion else None,
        latest=(
            LatestVersion(version=latest.number, verdict=latest.verdict, metric=latest.metric)
            if latest
            else None
        ),
        run=ledger.run,
        last_run=ledger.last_run,
        requests=ledger.requests,
        observed_spec_hash=ledger.observed_spec_hash,
        observed_retrain=ledger.observed_retrain,
        observed_drift=ledger.observed_drift,
        unhelpful_drift_runs=ledger.unhelpful_drift_runs,
        last_version=max([ledger.last_version, *(v.number for v in world.versions)]),
        started=ledger.started,
    ).to_json()


def _phase(training: ModelTraining, ledger: Ledger) -> Phase:
    if ledger.run is not None:
        return "Running"
    if training.spec.suspend:
        return "Suspended"
    if _awaits_first_word(ledger) or ledger.last_run is None:
        return "Pending"
    return "Succeeded" if ledger.last_run.succeeded else "Failed"


def _awaits_first_word(ledger: Ledger) -> bool:
    """Whether the last outcome speaks of a spec that has changed since."""
    return ledger.pending is not None and ledger.pending.source == "Spec"


def _claims(
    training: ModelTraining, ledger: Ledger, facts: tuple[Reason, ...]
) -> tuple[Claim, Claim]:
    return (_succeeded(ledger, facts), _stalled(training, ledger, facts))


def _succeeded(ledger: Ledger, facts: tuple[Reason, ...]) -> Claim:
    last = ledger.last_run
    if ledger.run is not None or last is None or _awaits_first_word(ledger):
        return Claim.because(SUCCEEDED, Truth.UNKNOWN, facts[0])
    ended = next(fact for fact in facts if fact.code == last.reason)
    return Claim.because(SUCCEEDED, Truth.TRUE if last.succeeded else Truth.FALSE, ended)


def _stalled(training: ModelTraining, ledger: Ledger, facts: tuple[Reason, ...]) -> Claim:
    """Nothing more happens until a person acts."""
    if ledger.run is None and not _awaits_first_word(ledger):
        error = next((fact for fact in facts if fact.severity is Severity.ERROR), None)
        if error is not None:
            return Claim.because(STALLED, Truth.TRUE, error)
    return Claim(STALLED, Truth.FALSE, reasons.AS_EXPECTED, "Nothing waits for a person.")
