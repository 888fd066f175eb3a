"""Small models gain nothing from threads, and spinning ones disturb the neighbours."""

import hypothesis
import pytest
from threadpoolctl import threadpool_limits

# How long an example takes says something about the machine only.
hypothesis.settings.register_profile("training", deadline=None)
hypothesis.settings.load_profile("training")


@pytest.fixture(autouse=True)
def _one_thread():
    with threadpool_limits(1):
        yield
