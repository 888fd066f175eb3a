"""Gates and the verdict.  Pure.

Silence never passes: a metric that is not a number fails, a holdout that is too small and a
comparison that cannot tell are Inconclusive, and a request without an absolute gate is Unverified.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from modelyard_core.metrics import METRICS
from modelyard_core.runs import ChampionGate, GateOutcome, GateResult, MetricGate, Verdict
from modelyard_training import evaluate
from modelyard_training.evaluate import Truth
from modelyard_training.scoring import Answers

RESAMPLES = 500
COMPARED_ROWS = 50_000
"""Held-out rows that the champion is compared on, at most."""
ABSOLUTE = "Absolute"
VERSUS_CHAMPION = "VersusChampion"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the gates may look at."""

    truth: Truth
    answers: Answers
    classes: tuple[int | str, ...]
    too_small: str | None
    """Why the holdout judges nothing."""
    champion: Answers | None = None
    champion_version: int | None = None
    not_comparable: str | None = None
    """Why there is a champion but no answers of it."""
    seed: int = 0


def judge(gates: Sequence[MetricGate], evidence: Evidence) -> tuple[GateResult, ...]:
    """Return what every gate says, in the order of the request."""
    results = []
    for gate in gates:
        if gate.min is not None or gate.max is not None:
            results.append(judge_absolute(gate, evidence))
        if gate.versus_champion is not None:
            results.append(judge_versus_champion(gate, evidence))
    return tuple(results)


def verdict_of(results: Sequence[GateResult]) -> Verdict:
    """Return the verdict of all gates together."""
    outcomes = {result.outcome for result in results}
    if GateOutcome.FAILED in outcomes:
        return Verdict.REJECTED
    if GateOutcome.INCONCLUSIVE in outcomes:
        return Verdict.INCONCLUSIVE
    if not any(result.kind == ABSOLUTE for result in results):
        return Verdict.UNVERIFIED
    return Verdict.BLESSED


def judge_absolute(gate: MetricGate, evidence: Evidence) -> GateResult:
    """Return whether the metric keeps its bounds."""
    rows = len(evidence.truth)
    observed = evaluate.measure(gate.name, evidence.truth, evidence.answers, evidence.classes)
    threshold = gate.max if gate.min is None else gate.min
    bounds = " and ".join(
        f"{word} {limit:g}"
        for word, limit in (("at least", gate.min), ("at most", gate.max))
        if limit is not None
    )

    def result(outcome: GateOutcome, sentence: str) -> GateResult:
        shown = observed if math.isfinite(observed) else None
        return GateResult(gate.name, ABSOLUTE, outcome, shown, threshold, None, rows, sentence)

    if evidence.too_small:
        return result(GateOutcome.INCONCLUSIVE, evidence.too_small)
    if not math.isfinite(observed):
        return result(GateOutcome.FAILED, f"{gate.name} is not a number on {rows} held-out rows")
    below = gate.min is not None and observed < gate.min
    above = gate.max is not None and observed > gate.max
    verb = "must be" if below or above else "is as asked:"
    outcome = GateOutcome.FAILED if below or above else GateOutcome.PASSED
    return result(outcome, f"{gate.name} is {observed:.4g}, {verb} {bounds} ({rows} rows)")


def judge_versus_champion(gate: MetricGate, evidence: Evidence) -> GateResult:
    """Return whether the model is not worse than the champion, by a paired bootstrap."""
    wanted = gate.versus_champion
    assert wanted is not None
    rows = min(len(evidence.truth), COMPARED_ROWS)
    blank = GateResult(
        gate.name, VERSUS_CHAMPION, GateOutcome.INCONCLUSIVE, None, wanted.max_drop, None, rows
    )
    if evidence.not_comparable:
        return replace(blank, sentence=f"ChampionNotComparable: {evidence.not_comparable}")
    if evidence.champion is None:
        return replace(
            blank,
            outcome=GateOutcome.SKIPPED,
            sentence="NoChampion: there is no version to compare with",
        )
    if evidence.too_small:
        return replace(blank, sentence=evidence.too_small)
    drops = paired_drops(gate.name, evidence, rows)
    if drops is None:
        sentence = f"{gate.name} is not a number on {rows} held-out rows"
        return replace(blank, outcome=GateOutcome.FAILED, sentence=sentence)
    return _judge_drops(blank, drops, wanted, evidence.champion_version)


def _judge_drops(
    blank: GateResult, drops: "Drops", wanted: ChampionGate, version: int | None
) -> GateResult:
    low, high = drops.interval(wanted.confidence)
    sentence = (
        f"{blank.name} is {drops.observed:.4g} against {drops.baseline:.4g} of v{version}: "
        f"a drop of {drops.drop:.4f}, {wanted.confidence:.0%} sure between {low:.4f} and "
        f"{high:.4f}; at most {wanted.max_drop:g} is allowed ({blank.rows} rows)"
    )
    if high <= wanted.max_drop:
        outcome = GateOutcome.PASSED
    elif low > wanted.max_drop:
        outcome = GateOutcome.FAILED
    else:
        outcome, sentence = GateOutcome.INCONCLUSIVE, sentence + ": too uncertain to tell"
    return replace(
        blank,
        outcome=outcome,
        observed=drops.observed,
        baseline=drops.baseline,
        sentence=sentence,
    )


@dataclass(frozen=True, slots=True)
class Drops:
    """How much worse than the champion, as observed and in resamples; negative is better."""

    observed: float
    baseline: float
    drop: float
    resampled: tuple[float, ...]

    def interval(self, confidence: float) -> tuple[float, float]:
        """Return the bounds that the drop keeps, each with this one-sided confidence."""
        low, high = np.quantile(self.resampled, [1 - confidence, confidence])
        return float(low), float(high)


def paired_drops(name: str, evidence: Evidence, rows: int) -> Drops | None:
    """Return the drops over resamples of the same rows for both models.

    None when the metric is not a number for either model.
    """
    assert evidence.champion is not None
    sign = 1.0 if METRICS[name].higher_is_better else -1.0
    truth = evidence.truth[:rows]
    pair = (_first(evidence.champion, rows), _first(evidence.answers, rows))
    baseline, observed = (
        evaluate.measure(name, truth, answers, evidence.classes) for answers in pair
    )
    if not (math.isfinite(baseline) and math.isfinite(observed)):
        return None
    dice = np.random.default_rng(evidence.seed)
    resampled = []
    for _ in range(RESAMPLES):
        weights = dice.multinomial(rows, np.full(rows, 1 / rows)).astype(np.float64)
        one, other = (
            evaluate.measure(name, truth, answers, evidence.classes, weights) for answers in pair
        )
        resampled.append(sign * (one - other))
    finite = tuple(drop for drop in resampled if math.isfinite(drop))
    if len(finite) < RESAMPLES // 2:
        return None
    return Drops(observed, baseline, sign * (baseline - observed), finite)


def _first(answers: Answers, rows: int) -> Answers:
    return Answers(
        *(
            None if part is None else part[:rows]
            for part in (answers.labels, answers.probabilities, answers.values)
        )
    )
