"""Durations as people write them in custom resources: `90s`, `5m`, `1h30m`, `7d`."""

import re
from datetime import timedelta

PATTERN = r"^([0-9]{1,6}d)?([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,9}s)?([0-9]{1,9}ms)?$"
_UNITS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}


def parse_duration(text: str) -> timedelta:
    """Return the duration that a text means.

    >>> parse_duration("1h30m")
    datetime.timedelta(seconds=5400)
    >>> parse_duration("50ms").total_seconds()
    0.05

    Raises:
        ValueError: not a duration.
    """
    if not text or not re.fullmatch(PATTERN, text):
        raise ValueError(f"{text!r} is not a duration such as 90s, 5m, 1h30m or 7d")
    parts = re.findall(r"([0-9]+)(ms|[dhms])", text)
    return timedelta(milliseconds=sum(int(n) * _UNITS[unit] for n, unit in parts))


def format_duration(duration: timedelta) -> str:
    """Return a duration in at most two units, for sentences.

    >>> format_duration(timedelta(seconds=5400))
    '1h30m'
    >>> format_duration(timedelta(seconds=42.7))
    '42s'
    """
    left = max(0, int(duration.total_seconds()))
    parts = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts[:2]) or "0s"
