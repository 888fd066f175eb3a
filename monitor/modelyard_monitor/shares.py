"""Tests whether a share of the rows (missing, new, out of range, one value only) has grown.

    H0: live share ≤ upper(reference share) + margin        k of n live rows, r of m reference rows

`upper` is the 95 % Clopper-Pearson limit, so that a reference that never saw a new category still
allows about 3/m of them (the rule of three) and one odd row never alarms.  The p-value is the
binomial tail, exact, and conservative in the reference's uncertainty.
"""

from functools import lru_cache

from scipy import stats

CONFIDENCE = 0.95


@lru_cache(maxsize=4096)
def upper_limit(hits: int, rows: int) -> float:
    """Return the one-sided 95 % upper confidence limit of a share.

    >>> round(upper_limit(0, 1000), 4)
    0.003
    """
    if hits >= rows:
        return 1.0
    return float(stats.beta.ppf(CONFIDENCE, hits + 1, rows - hits))


def grown(hits: int, rows: int, limit: float) -> float:
    """Return the probability of at least `hits` of `rows` where the true share is `limit`.

    A share at or below the limit is no evidence of more: its p-value is 1.
    """
    if hits <= limit * rows:
        return 1.0
    return float(stats.binom.sf(hits - 1, rows, max(0.0, limit)))
