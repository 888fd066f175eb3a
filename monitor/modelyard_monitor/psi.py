r"""Population stability index, and the test whether it is more than a given effect.

    PSI = Σ (q_j - p_j) · ln(q_j / p_j)        p: reference shares, q: live shares, B cells

Shares are smoothed by half a row per cell, so an empty cell is neither zero nor a special case.
For two samples of m and n rows of one distribution PSI / s is chi-squared with B - 1 degrees of
freedom, s = 1/n + 1/m (Yurdakul 2018, "Statistical properties of the population stability index",
Western Michigan University).  Where the true PSI is δ, PSI / s is noncentral chi-squared with
noncentrality δ / s (the local-alternatives expansion of the Jeffreys divergence; the same idea as
the population resemblance statistic, arXiv 2307.11878).  So

    p = P(χ²(B - 1, δ / s) ≥ PSI / s)

tests "the change is at most δ".  It stays quiet on a harmless change however many rows there are,
and on a short window however noisy it is; a fixed threshold does neither.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Shift:
    """How far a live distribution is from its reference."""

    psi: float
    p_value: float
    cells: int
    """Cells after pooling; one cell cannot shift."""


def smoothed(counts: IntArray) -> npt.NDArray[np.float64]:
    """Return the shares of counts with half a row added to every cell."""
    padded = counts + 0.5
    return np.asarray(padded / padded.sum(), dtype=np.float64)


def psi(reference: IntArray, live: IntArray) -> float:
    """Return the PSI of two count vectors over the same cells.

    >>> round(psi(np.array([500, 500]), np.array([900, 100])), 2)
    0.88
    """
    p, q = smoothed(reference), smoothed(live)
    return float(np.sum((q - p) * np.log(q / p)))


def pooled(reference: IntArray, live: IntArray) -> tuple[IntArray, IntArray]:
    """Merge the cells in which fewer than one live row is expected, until one is.

    Chosen by the reference alone: pooling by what was observed makes false alarms more likely.
    """
    expected = reference * (live.sum() / max(1, reference.sum()))
    order = np.argsort(expected, kind="stable")
    merged = int(np.count_nonzero(expected < 1.0))
    if merged == 0:
        return reference, live
    while merged < len(order) and expected[order[:merged]].sum() < 1.0:
        merged += 1
    rest, gone = np.sort(order[merged:]), order[:merged]
    return (
        np.append(reference[rest], reference[gone].sum()),
        np.append(live[rest], live[gone].sum()),
    )


def shift(reference: IntArray, live: IntArray, effect: float) -> Shift:
    """Test whether the PSI is more than `effect`; a small p-value says that it is.

    A sample without rows shows nothing: its p-value is 1.
    """
    m, n = int(reference.sum()), int(live.sum())
    if m == 0 or n == 0:
        return Shift(psi=0.0, p_value=1.0, cells=0)
    cells = pooled(reference, live)
    value = psi(*cells)
    return Shift(psi=value, p_value=tail(value, effect, m, n, len(cells[0])), cells=len(cells[0]))


def tail(value: float, effect: float, m: int, n: int, cells: int) -> float:
    """Return the probability of a PSI of at least `value` where the true one is `effect`."""
    degrees = cells - 1
    if degrees < 1:
        return 1.0
    scale = 1.0 / n + 1.0 / m
    return float(stats.ncx2.sf(value / scale, degrees, effect / scale))
