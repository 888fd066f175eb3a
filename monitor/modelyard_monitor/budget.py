"""How a budget of false alarms becomes the level of one test.

"0.5 in 30 days" is divided over the window scales (equally), over the windows of a scale that close
in the period, over the groups (features, prediction, data quality), and inside a window over the
features by Holm's step-down procedure (Holm 1979), which holds whatever their dependence.  By the
union bound the expected number of windows with a false alarm is at most the budget.
"""

from collections.abc import Sequence

FEATURES, PREDICTION, QUALITY = "features", "prediction", "quality"
GROUP_SHARES = {FEATURES: 0.5, PREDICTION: 0.25, QUALITY: 0.25}
MAX_LEVEL = 0.05
"""No test is run at a looser level, however generous the budget is."""


def window_level(budget: float, period: int, window: int, scales: int, group: str) -> float:
    """Return the level of all tests of one group in one window; period and window in seconds.

    >>> window_level(0.5, 30 * 86400, 3600, 4, "features") == 0.5 * 0.5 / 4 / 720
    True
    """
    windows = max(1.0, period / window)
    return min(MAX_LEVEL, budget * GROUP_SHARES[group] / scales / windows)


def holm(p_values: Sequence[float], level: float) -> list[float]:
    """Return for each test the level at which it is decided; rejected are those with p ≤ level.

    The smallest p-value is held against level / k, the next against level / (k - 1), and so on; the
    first that is not rejected ends the procedure, and what follows is held against its level.

    >>> holm([0.01, 0.2, 0.02], 0.05) == [0.05 / 3, 0.05, 0.05 / 2]
    True
    >>> holm([0.04, 0.03], 0.05) == [0.05 / 2, 0.05 / 2]
    True
    """
    levels = [0.0] * len(p_values)
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    stopped: float | None = None
    for rank, index in enumerate(order):
        here = stopped if stopped is not None else level / (len(order) - rank)
        levels[index] = here
        if stopped is None and p_values[index] > here:
            stopped = here
    return levels
