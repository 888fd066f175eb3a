"""Gates and verdicts: tables, and what must hold for every evidence."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard_core.runs import ChampionGate, GateOutcome, GateResult, MetricGate, Verdict
from modelyard_training import gates
from modelyard_training.scoring import Answers

P, F, I, S = (  # noqa: E741
    GateOutcome.PASSED,
    GateOutcome.FAILED,
    GateOutcome.INCONCLUSIVE,
    GateOutcome.SKIPPED,
)


def answers(scores):
    scores = np.asarray(scores, dtype=np.float32)
    return Answers((scores > 0.5).astype(np.int64), np.stack([1 - scores, scores], axis=1), None)


def evidence(rows=1000, quality=2.0, seed=0, **changes):
    """Return evidence of a model whose scores are as good as `quality` says (0 is guessing)."""
    dice = np.random.default_rng(1)
    truth = dice.integers(0, 2, rows)
    blank = gates.Evidence(truth, answers(scores(truth, quality, seed)), (0, 1), None)
    return dataclasses.replace(blank, **changes)


def scores(truth, quality, seed):
    noise = np.random.default_rng(seed + 100).normal(0, 1, len(truth))
    return 1 / (1 + np.exp(-(quality * (2 * truth - 1) + noise)))


def with_champion(quality, rows=1000, own=2.0, **changes):
    seen = evidence(rows, own)
    theirs = answers(scores(seen.truth, quality, 7))
    return dataclasses.replace(seen, champion=theirs, champion_version=3, **changes)


BETTER = MetricGate("roc_auc", versus_champion=ChampionGate(0.01, 0.95))


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [
        pytest.param([("Absolute", P)], Verdict.BLESSED, id="all-passed"),
        pytest.param([("Absolute", P), ("Absolute", F)], Verdict.REJECTED, id="one-failed"),
        pytest.param([("Absolute", F), ("Absolute", I)], Verdict.REJECTED, id="failure-wins"),
        pytest.param([("Absolute", P), ("VersusChampion", I)], Verdict.INCONCLUSIVE, id="unsure"),
        pytest.param([("Absolute", P), ("VersusChampion", S)], Verdict.BLESSED, id="no-champion"),
        pytest.param([], Verdict.UNVERIFIED, id="no-gate"),
        pytest.param([("Parity", P)], Verdict.UNVERIFIED, id="parity-proves-no-worth"),
        pytest.param([("VersusChampion", P)], Verdict.UNVERIFIED, id="relative-only"),
        pytest.param([("VersusChampion", F)], Verdict.REJECTED, id="relative-failed"),
    ],
)
def test_verdict(outcomes, verdict):
    results = [GateResult("m", kind, outcome) for kind, outcome in outcomes]

    assert gates.verdict_of(results) is verdict


@pytest.mark.parametrize(
    ("gate", "seen", "outcome"),
    [
        pytest.param(MetricGate("roc_auc", min=0.9), evidence(), P, id="above-min"),
        pytest.param(MetricGate("roc_auc", min=0.9), evidence(quality=0.1), F, id="below-min"),
        pytest.param(MetricGate("log_loss", max=0.5), evidence(), P, id="below-max"),
        pytest.param(MetricGate("log_loss", max=0.5), evidence(quality=0.1), F, id="above-max"),
        pytest.param(
            MetricGate("accuracy", min=0.5, max=0.9), evidence(), F, id="outside-both-bounds"
        ),
        pytest.param(
            MetricGate("roc_auc", min=0.0), evidence(too_small="few rows"), I, id="small-holdout"
        ),
        pytest.param(
            MetricGate("roc_auc", min=0.0),
            evidence(truth=np.zeros(1000, dtype=np.int64)),
            F,
            id="undefined-metric",
        ),
        pytest.param(
            MetricGate("log_loss", max=9.0),
            evidence(answers=answers(np.full(1000, np.nan))),
            F,
            id="answers-that-are-no-numbers",
        ),
        pytest.param(
            MetricGate("average_precision", min=0.0),
            evidence(classes=(0, 1, 2)),
            F,
            id="binary-metric-of-three-classes",
        ),
    ],
)
def test_absolute_gate(gate, seen, outcome):
    (result,) = gates.judge([gate], seen)

    assert (result.kind, result.outcome) == ("Absolute", outcome)
    assert result.sentence


@pytest.mark.parametrize(
    ("seen", "outcome"),
    [
        pytest.param(evidence(), S, id="no-champion"),
        pytest.param(evidence(not_comparable="gone"), I, id="not-comparable"),
        pytest.param(with_champion(2.0), P, id="as-good"),
        pytest.param(with_champion(0.5), P, id="much-better"),
        pytest.param(with_champion(2.0, own=0.5), F, id="much-worse"),
        pytest.param(with_champion(0.5, rows=60, own=0.5), I, id="too-uncertain"),
        pytest.param(with_champion(2.0, too_small="few rows"), I, id="small-holdout"),
        pytest.param(
            with_champion(2.0, truth=np.ones(1000, dtype=np.int64)), F, id="undefined-metric"
        ),
    ],
)
def test_versus_champion(seen, outcome):
    (result,) = gates.judge([BETTER], seen)

    assert (result.kind, result.outcome) == ("VersusChampion", outcome)
    assert result.sentence


def test_a_lower_loss_is_better():
    gate = MetricGate("log_loss", versus_champion=ChampionGate(0.05))

    assert gates.judge([gate], with_champion(0.5))[0].outcome is P
    assert gates.judge([gate], with_champion(2.0, own=0.2))[0].outcome is F


def test_absolute_and_relative_parts_of_one_gate_are_judged_apart():
    gate = MetricGate("roc_auc", min=0.9, versus_champion=ChampionGate(0.01))

    results = gates.judge([gate], with_champion(2.0))

    assert [result.kind for result in results] == ["Absolute", "VersusChampion"]


@settings(max_examples=25, deadline=None)
@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 5))
def test_a_laxer_bound_never_turns_a_pass_into_a_failure(strict, lax, seed):
    lax, strict = sorted((strict, lax))
    seen = evidence(rows=300, quality=0.5, seed=seed)

    strictly, laxly = (
        gates.judge([MetricGate("roc_auc", min=bound)], seen)[0].outcome for bound in (strict, lax)
    )

    assert not (strictly is P and laxly is F)


@pytest.mark.slow
@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000))
def test_a_model_is_never_worse_than_itself(seed):
    seen = evidence(rows=300, quality=1.0, seed=seed)
    twin = dataclasses.replace(seen, champion=seen.answers, champion_version=1)

    assert gates.judge([BETTER], twin)[0].outcome is P


def test_the_same_evidence_is_always_judged_the_same():
    assert gates.judge([BETTER], with_champion(1.9)) == gates.judge([BETTER], with_champion(1.9))
