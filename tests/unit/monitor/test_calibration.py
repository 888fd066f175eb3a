"""False alarms within the budget, and how soon drift is found: simulated with fixed seeds."""

import numpy as np
import pytest

from modelyard_core.watch import RetrainRule
from modelyard_monitor import episode
from modelyard_monitor.grid import Span
from modelyard_monitor.judge import judge
from modelyard_monitor.layout import Layout
from support import drift

FEATURES, BINS, REFERENCE = 8, 20, 10_000
MONTH = 30 * 86_400


def a_reference(seed):
    profile = drift.without_categories(drift.a_profile(FEATURES, REFERENCE, BINS, seed))
    return profile, Layout.of(profile)


def a_window(layout, random, rows, shift=0.0):
    """The counts of one window, drawn from the cells' probabilities directly."""
    from scipy import stats

    vector = layout.zero()
    vector[0] = rows
    for index, column in enumerate((*layout.features, layout.prediction)):
        if column is layout.prediction:
            edges = np.asarray(column.profile.edges)
            cumulative = np.concatenate([[0], edges, [1]])
        else:
            moved = shift if index == 0 else 0.0
            inner = stats.norm.cdf(np.asarray(column.profile.edges) - moved)
            cumulative = np.concatenate([[0], inner, [1]])
        shares = np.clip(np.diff(cumulative), 0, 1)
        vector[column.begin : column.begin + column.bins] = random.multinomial(rows, shares)
    return vector


@pytest.mark.slow
@pytest.mark.parametrize("rows", [200])
def test_a_month_without_drift_keeps_the_budget(rows):
    """720 hourly windows, 8 features, a budget of half an alarm in a month."""
    profile, layout = a_reference(11)
    random = np.random.default_rng(12)
    watch = drift.a_watch(windows_seconds=(3_600,), min_rows=200)

    alarms = sum(
        judge(watch, profile, layout, Span(3_600, 3_600 * i), a_window(layout, random, rows)).hit
        for i in range(1, 721)
    )

    assert alarms == 0


@pytest.mark.slow
def test_with_no_effect_to_spare_the_alarms_are_about_the_budget():
    """Without a minimum effect the level itself shows: 400 windows may raise 40."""
    profile, layout = a_reference(13)
    random = np.random.default_rng(14)
    watch = drift.a_watch(
        windows_seconds=(3_600,),
        budget=40.0 * 4 / 3,
        budget_seconds=400 * 3_600,
        feature_effect=1e-9,
        prediction_effect=1e-9,
    )

    alarms = sum(
        judge(watch, profile, layout, Span(3_600, 3_600), a_window(layout, random, 1_000)).hit
        for _ in range(400)
    )

    assert 5 <= alarms <= 52


def delay(shift, scales, rows_an_hour, seed, limit=24 * 10):
    """Hours until a drift is confirmed by 2 of 3."""
    profile, layout = a_reference(15)
    random = np.random.default_rng(seed)
    watch = drift.a_watch(windows_seconds=tuple(3_600 * s for s in scales), min_rows=200)
    tested = {seconds: [] for seconds in watch.windows_seconds}
    hours, track = [], None
    for hour in range(1, limit + 1):
        hours.append(a_window(layout, random, rows_an_hour, shift))
        for scale in scales:
            if hour % scale:
                continue
            span = Span(3_600 * scale, 3_600 * hour)
            found = judge(watch, profile, layout, span, np.sum(hours[-scale:], axis=0))
            evidence = episode.Evidence(span.seconds, span.end, found.hit, found.quiet)
            tested[span.seconds].append(evidence)
            recent = {seconds: each[-3:] for seconds, each in tested.items()}
            track = episode.advance(track, evidence, recent, RetrainRule(2, 3), 1)
        if track is not None and track.state is episode.EpisodeState.DRIFTING:
            return hour
    return None


@pytest.mark.parametrize(
    ("shift", "scales", "latest"),
    [
        pytest.param(1.0, (1, 4, 24), 2, id="strong-drift-in-two-short-windows"),
        pytest.param(0.5, (1, 4, 24), 8, id="medium-drift"),
        pytest.param(0.3, (1, 4, 24), 48, id="weak-drift-needs-the-long-windows"),
    ],
)
def test_the_delay_of_detection(shift, scales, latest):
    delays = [delay(shift, scales, 400, seed) for seed in range(3)]

    assert all(each is not None and each <= latest for each in delays), delays


def test_long_windows_find_what_short_ones_cannot():
    assert delay(0.3, (1,), 400, 1, limit=72) is None
    assert delay(0.3, (1, 24), 400, 1, limit=72) is not None
