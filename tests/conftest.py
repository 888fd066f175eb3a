"""What every level may use.  A test that needs a cluster or its programs is marked `cluster`."""

import os
from collections.abc import Iterator

import pytest
from hack.cluster import binaries
from hypothesis import HealthCheck, settings

from support import api_server as api_servers

# How fast a machine is says nothing about our code, and a change must not fail by the draw of
# another's example: all draw the same ones, but for `make soak`, which looks for new ones.
settings.register_profile(
    "repeatable", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("searching", settings.get_profile("repeatable"), derandomize=False)
settings.load_profile("searching" if "MODELYARD_FUZZ" in os.environ else "repeatable")


@pytest.fixture(scope="session")
def api_server(tmp_path_factory, pytestconfig) -> Iterator[api_servers.ApiServer]:
    """An API server of this session's own, without our CRDs; see support/api_server.py."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        binaries.ensure()  # says what it builds, and that it takes minutes
    with api_servers.running(tmp_path_factory.mktemp("api-server")) as server:
        yield server


@pytest.fixture(scope="session")
def api_server_with_crds(api_server: api_servers.ApiServer) -> api_servers.ApiServer:
    """The same API server with our CRDs."""
    api_servers.install_crds(api_server)
    return api_server
