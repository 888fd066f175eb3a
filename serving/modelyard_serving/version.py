"""The version of this program, as its package says; looked up when somebody asks."""

from functools import cache


@cache
def own() -> str:
    """Return the version."""
    from importlib.metadata import version  # brings zip files and mail; nearly nobody asks

    return version("modelyard")
