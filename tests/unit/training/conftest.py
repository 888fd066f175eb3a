"""Small models gain nothing from threads, and spinning ones disturb the neighbours."""

import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True)
def _one_thread():
    with threadpool_limits(1):
        yield
