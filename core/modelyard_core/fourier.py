"""Random Fourier features of a row: sums from which a change in the *joint* distribution is seen.

    f_i(x) = cos(2π (Σ_j w_ij · z_j + b_i))        z_j = (x_j - mean_j) / scale_j, clipped to ±CLIP

The distance of two mean vectors of f estimates the kernel two-sample statistic MMD (Rahimi and
Recht, 2007), and a mean needs sums only.  w and b are drawn from the seed, the column's name and
the number of the frequency, so no matrix travels.

All of it is arithmetic on whole numbers: z in 1/UNITS, w and b in 2⁻³⁰ of a turn, the cosine from a
table of PHASES values in 1/AMPLITUDE.  So a sum is the same on every machine, in every order and in
every division of the rows, and sums of processes are added without an error.  Rounding makes f a
slightly different function, the same for the reference and for what is compared with it.
"""

import hashlib
import math
from collections.abc import Sequence
from functools import cache
from statistics import NormalDist

SCHEME = 1
"""This definition; a changed one has another number."""
FREQUENCIES = 64
UNITS = 1024
"""Of a standardised value."""
CLIP = 8
"""Deviations from the mean beyond which a value counts as if it were there."""
TURN_BITS = 30
PHASE_BITS = 12
PHASES = 1 << PHASE_BITS
AMPLITUDE = 1 << 14
BANDWIDTHS = (0.5, 1.0, 2.0)
"""Frequencies in turn look for differences over twice, once and half the typical distance."""
LEAST_DISTANCE = 0.25


def weights(seed: int, column: str, distance: float, count: int) -> tuple[int, ...]:
    """Return w of one column, one for each of `count` frequencies, to be multiplied by z · UNITS.

    >>> weights(1, "temp", 1.0, 3)
    (64266, 164112, -94174)
    """
    turns = (1 << TURN_BITS) / UNITS / (2 * math.pi * max(distance, LEAST_DISTANCE))
    return tuple(
        round(_normal(f"{seed}/{number}/{column}") * BANDWIDTHS[number % len(BANDWIDTHS)] * turns)
        for number in range(count)
    )


def offsets(seed: int, count: int) -> tuple[int, ...]:
    """Return b, one for each frequency."""
    return tuple(_drawn(f"{seed}/{number}") >> (64 - TURN_BITS) for number in range(count))


@cache
def cosines() -> tuple[int, ...]:
    """Return the table: the phase in PHASES parts of a turn is the index."""
    return tuple(
        round(AMPLITUDE * math.cos(2 * math.pi * phase / PHASES)) for phase in range(PHASES)
    )


def features(
    standardised: Sequence[int], weights_: Sequence[Sequence[int]], offsets_: Sequence[int]
) -> tuple[int, ...]:
    """Return f of one row, in 1/AMPLITUDE: the definition, which the programs follow in arrays.

    `standardised` is z · UNITS for each column, rounded; `weights_` has a sequence for each column.
    """
    table = cosines()
    turns = [
        offset + sum(z * w[number] for z, w in zip(standardised, weights_, strict=True))
        for number, offset in enumerate(offsets_)
    ]
    return tuple(table[(turn >> (TURN_BITS - PHASE_BITS)) % PHASES] for turn in turns)


def _drawn(what: str) -> int:
    digest = hashlib.blake2b(what.encode(), digest_size=8, person=b"modelyard-rff").digest()
    return int.from_bytes(digest, "big")


def _normal(what: str) -> float:
    # 52 bits, so that the half keeps the share off 0 and off 1
    return NormalDist().inv_cdf(((_drawn(what) >> 12) + 0.5) / 2.0**52)
