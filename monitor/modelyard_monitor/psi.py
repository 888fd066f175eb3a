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

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Shift:
    """How far a live sample is from its reference."""

    psi: float
    reference: int
    """Rows of the reference."""
    live: int
    """Rows of the live sample."""
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


def measure(reference: IntArray, live: IntArray) -> Shift:
    """Return how far two count vectors over the same cells are apart."""
    m, n = int(reference.sum()), int(live.sum())
    if m == 0 or n == 0:
        return Shift(0.0, m, n, cells=0)
    cells = pooled(reference, live)
    return Shift(psi(*cells), m, n, len(cells[0]))


def p_values(shifts: Sequence[Shift], effect: float) -> list[float]:
    """Test whether each PSI is more than `effect`; a small p-value says that it is.

    A sample without rows, or with one cell, shows nothing: its p-value is 1.
    """
    able = [each for each in shifts if each.cells > 1]
    scales = np.array([1.0 / each.live + 1.0 / each.reference for each in able])
    values = np.array([each.psi for each in able])
    degrees = np.array([each.cells - 1 for each in able])
    tails = iter(stats.ncx2.sf(values / scales, degrees, effect / scales) if able else ())
    return [float(next(tails)) if each.cells > 1 else 1.0 for each in shifts]
