"""What every level may use.  A test that needs a cluster or its programs is marked `cluster`."""

from collections.abc import Iterator

import pytest

from support import api_server as api_servers


@pytest.fixture(scope="session")
def api_server(tmp_path_factory) -> Iterator[api_servers.ApiServer]:
    """An API server of this session's own, without our CRDs; see support/api_server.py."""
    if not api_servers.available():
        pytest.skip("kube-apiserver is not built here; `make cluster-up` builds it")
    with api_servers.running(tmp_path_factory.mktemp("api-server")) as server:
        yield server


@pytest.fixture(scope="session")
def api_server_with_crds(api_server: api_servers.ApiServer) -> api_servers.ApiServer:
    """The same API server with our CRDs."""
    api_servers.install_crds(api_server)
    return api_server
