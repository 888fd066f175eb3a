"""The KServe SDK's inference clients, REST and gRPC, unchanged."""

import pytest

CASES = ("health", "json", "binary", "unknown model", "wrong shape")
UNKNOWN = "there is no model 'another' here; this is 'rain'"
WRONG = "input 'x_INT8' has shape [-1, 2], where -1 varies, not [2, 1]"


@pytest.fixture(scope="module")
def rest(ask, zoo):
    """Return what every case said over REST."""
    return ask("kserve_sdk.py", "rest", zoo.url, *CASES)


@pytest.fixture(scope="module")
def grpc(ask, zoo):
    """Return what every case said over gRPC."""
    return ask("kserve_sdk.py", "grpc", zoo.grpc, *CASES)


@pytest.fixture(params=["rest", "grpc"])
def transport(request):
    return request.param


@pytest.fixture
def said(transport, rest, grpc):
    """Return what every case said over one transport."""
    return rest if transport == "rest" else grpc


@pytest.mark.parametrize("case", ["json", "binary"])
def test_every_datatype_comes_back_as_it_was(said, case):
    """Over gRPC they are typed contents, and raw contents."""
    assert said[case] == []


def test_half_floats_come_back_as_they_were(ask, half, transport):
    address = half.url if transport == "rest" else half.grpc

    assert ask("kserve_sdk.py", transport, address, "halves") == {"halves": []}


def test_it_knows_who_is_ready(said):
    assert said["health"] == [True, True, True]


@pytest.mark.parametrize(("case", "sentence"), [("unknown model", UNKNOWN), ("wrong shape", WRONG)])
def test_it_tells_what_is_wrong(said, transport, case, sentence):
    answers = {
        "rest": f"HTTPStatusError: {{'error': {sentence!r}}}",
        "grpc": f"AioRpcError: {sentence}",
    }
    assert said[case] == answers[transport]
