"""The long tests run only where they are asked for: `pytest -m soak`, as `make soak` does."""

import os

import pytest

from support import bundles


def pytest_collection_modifyitems(config, items):
    if "soak" in (config.option.markexpr or ""):
        return
    long = [item for item in items if item.get_closest_marker("soak")]
    if long:
        items[:] = [item for item in items if item not in long]
        config.hook.pytest_deselected(items=long)


@pytest.fixture(scope="session")
def soak_seconds() -> float:
    """How long each of these tests may load the server."""
    return float(os.environ.get("MODELYARD_SOAK_SECONDS", "3600"))


@pytest.fixture
def rain_bundle(tmp_path):
    return bundles.write(tmp_path / "model")
