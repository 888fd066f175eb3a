"""The statistics of a rollout: is the candidate worse than stable, is it good enough?  Pure.

Every check counts bad events among requests, in both arms, over the same intervals.  Given one bad
event in an interval in which the candidate took the share w of the requests, it is the candidate's
with probability

    q(θ) = θw / (θw + 1 - w)

where θ is how many times more often the candidate's requests go bad.  An equally good candidate has
θ = 1, so q = w.  Multiplying likelihood ratios over intervals gives e-values: under the hypothesis
that they speak against, the chance that such a product *ever* reaches 1/alpha is at most alpha
(Ville, 1939).  So they may be looked at after every interval, and stopping early costs nothing.
Conditioning on each interval's bad events makes them immune to traffic waves, to weight changes
and to a base rate that moves.

E_harm   against θ ≤ 1: the mean over several θ above 1.  It grows over the whole attempt.
E_pass   against "θ ≥ margin and more bad events than the tolerance": the mean of one e-value
         against the margin and of some against the tolerance.  It starts anew in every step.
         The tolerance is what decides where bad events are rare: with none at all there is
         nothing to compare, yet n requests without one bound the share from above.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, inf, log, log1p

ODDS_RATIOS = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
"""The alternatives that the evidence of harm is averaged over."""
TOLERANCE_FACTORS = (0.0, 0.1, 0.5)
"""The true shares, as parts of the tolerance, that the evidence against it is averaged over."""
MICRO = 1_000_000
"""Logarithms are kept in millionths, as integers, so that nothing is lost on the way to a status."""

GROSS_SHARE = 0.5
GROSS_REQUESTS = 20


@dataclass(frozen=True, slots=True)
class Tally:
    """Requests of one arm, and how many of them went bad."""

    requests: int = 0
    bad: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.requests + other.requests, self.bad + other.bad)


NOTHING = Tally()


def no_harm() -> tuple[int, ...]:
    """Return the evidence of harm before the first interval."""
    return (0,) * len(ODDS_RATIOS)


def add_harm(logs: Sequence[int], canary: Tally, stable: Tally) -> tuple[int, ...]:
    """Return the evidence for each odds ratio after one more interval."""
    steps = (_log_likelihood_ratio(odds, 1.0, canary, stable) for odds in ODDS_RATIOS)
    return tuple(
        before + _micro(step) for before, step in zip(logs or no_harm(), steps, strict=True)
    )


def add_ratio(log_ratio: int, margin: float, canary: Tally, stable: Tally) -> int:
    """Return the evidence against the margin after one more interval."""
    return log_ratio + _micro(_log_likelihood_ratio(1.0, margin, canary, stable))


def log_harm(logs: Sequence[int]) -> float:
    """Return ln E_harm.

    >>> log_harm(no_harm())
    0.0
    """
    return _log_mean([value / MICRO for value in logs or no_harm()])


def log_pass(log_ratio: float, tolerance: float, canary: Tally) -> float:
    """Return ln E_pass from the evidence against the margin (millionths) and the step's counts.

    >>> round(exp(log_pass(0, 0.01, Tally(300, 0))), 1)
    10.3
    """
    shares = (tolerance * factor for factor in TOLERANCE_FACTORS)
    against_tolerance = [_log_share_ratio(share, tolerance, canary) for share in shares]
    return _log_mean([log_ratio / MICRO, *against_tolerance])


def is_gross(canary: Tally) -> bool:
    """Return whether more than half of the requests went bad: no statistics needed."""
    return canary.requests >= GROSS_REQUESTS and canary.bad > GROSS_SHARE * canary.requests


def requests_until_pass(
    log_ratio: int, tolerance: float, canary: Tally, target: float
) -> int | None:
    """Return how many requests the candidate needs in all if things go on as they have so far.

    None: going on like this never passes.
    """
    if not canary.requests:
        return None
    factor = 1.0
    while factor < MICRO:
        ahead = Tally(round(canary.requests * factor), round(canary.bad * factor))
        if log_pass(log_ratio * factor, tolerance, ahead) >= target:
            return ahead.requests
        factor *= 1.1
    return None


def _log_likelihood_ratio(odds: float, null: float, canary: Tally, stable: Tally) -> float:
    """Return ln of the likelihood of these bad events under `odds` against `null`."""
    everything = canary.requests + stable.requests
    if not canary.requests or not stable.requests:
        return 0.0
    share = canary.requests / everything
    ours, theirs = _tilted(odds, share), _tilted(null, share)
    return canary.bad * log(ours / theirs) + stable.bad * log((1 - ours) / (1 - theirs))


def _tilted(odds: float, share: float) -> float:
    return odds * share / (odds * share + 1 - share)


def _log_share_ratio(share: float, tolerance: float, canary: Tally) -> float:
    good = canary.requests - canary.bad
    if share == 0.0:
        return -inf if canary.bad else -good * log1p(-tolerance)
    return canary.bad * log(share / tolerance) + good * (log1p(-share) - log1p(-tolerance))


def _log_mean(logs: Sequence[float]) -> float:
    largest = max(logs)
    if largest == -inf:
        return -inf
    return largest + log(sum(exp(value - largest) for value in logs) / len(logs))


def _micro(value: float) -> int:
    return round(value * MICRO)
