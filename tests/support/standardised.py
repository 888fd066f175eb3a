"""What the recorder computes in arrays, as it is defined: one value after the other."""

import math

from modelyard_core import fourier


def standardised(profile, value):
    """Return z of a value in whole units; 0, the mean, for what is missing."""
    if math.isnan(value):
        return 0
    limit = fourier.CLIP * fourier.UNITS
    scaled = (value - profile.mean) * (fourier.UNITS / profile.scale)
    return round(min(limit, max(-limit, scaled)))
