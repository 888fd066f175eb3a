"""Small models gain nothing from threads, and spinning ones disturb the neighbours."""

import pytest
from threadpoolctl import threadpool_limits

from support import training_runs as runs


@pytest.fixture(autouse=True)
def _one_thread():
    with threadpool_limits(1):
        yield


@pytest.fixture
def workshop(tmp_path):
    """A data volume with a table, and an empty store."""
    return runs.a_workshop(tmp_path)
