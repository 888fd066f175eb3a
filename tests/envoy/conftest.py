"""Every test has a router of its own; backends and names are shared by address."""

import pytest

from support import envoy, grpc_router
from support.ports import free_port

ADDRESSES = {"rain-a": "127.0.0.2", "rain-b": "127.0.0.3", "rain-c": "127.0.0.4"}


def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/envoy" in str(item.path):
            item.add_marker(pytest.mark.envoy)


@pytest.fixture
def names():
    with envoy.Names() as server:
        server.addresses.update(ADDRESSES)
        yield server
        server.shutdown()


@pytest.fixture
def backends():
    port = free_port("127.0.0.2")
    found = {name: envoy.Backend(address, port) for name, address in ADDRESSES.items()}
    yield found
    for backend in found.values():
        backend.close()


@pytest.fixture
def grpc_port():
    """Where all backends would listen for gRPC."""
    return free_port("127.0.0.2")


@pytest.fixture
def callees(grpc_port):
    """The same revisions, over gRPC."""
    found = {name: grpc_router.Callee(at, grpc_port) for name, at in ADDRESSES.items()}
    yield found
    for callee in found.values():
        callee.close()


@pytest.fixture
def router(tmp_path, names, backends, grpc_port):
    made = envoy.Router(tmp_path, names, backends["rain-a"].server_port, grpc_port)
    made.start_agent()
    made.start_envoy()
    yield made
    made.close()
