"""The only reader of the clock, and of the dice for the boot id."""

import secrets
from datetime import UTC, datetime
from time import monotonic, perf_counter, thread_time

__all__ = ["draw_boot_id", "monotonic", "now", "perf_counter", "thread_time"]


def now() -> datetime:
    """Return the current moment in UTC."""
    return datetime.now(UTC)


def draw_boot_id() -> str:
    """Return an id that no other start of any process has."""
    return secrets.token_hex(8)
