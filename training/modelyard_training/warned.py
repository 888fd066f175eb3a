"""Turns library warnings of one kind into notes, and keeps all others quiet in the log."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def recorded(kind: type[Warning]) -> Iterator[list[str]]:
    """Collect the first line of each distinct warning of a kind."""
    notes: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield notes
    for warning in caught:
        line = str(warning.message).splitlines()[0]
        if issubclass(warning.category, kind) and line not in notes:
            notes.append(line)
