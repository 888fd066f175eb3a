"""Triton's own client library over its four transports, unchanged."""

import pytest

HTTP = ("http", "http.aio")
GRPC = ("grpc", "grpc.aio")
GRPC_ECHOES = ("binary", "default", "binary gzip", "deflate", "empty")
HTTP_ECHOES = (*GRPC_ECHOES, "json", "mixed", "gzip")
OTHERS = ("health", "metadata", "identified", "unknown model", "wrong shape", "one row less")
CODES = {
    "http": {"missing": "404", "invalid": "400"},
    "grpc": {"missing": "StatusCode.NOT_FOUND", "invalid": "StatusCode.INVALID_ARGUMENT"},
}


@pytest.fixture(scope="module")
def over_http(ask, zoo):
    """Return what every case said over a transport."""
    return {
        transport: ask("triton.py", transport, zoo.http, *OTHERS, "statistics", *HTTP_ECHOES)
        for transport in HTTP
    }


@pytest.fixture(scope="module")
def over_grpc(ask, zoo):
    """Return what every case said over a transport; gRPC knows no tensors but binary ones."""
    return {
        transport: ask("triton.py", transport, zoo.grpc, *OTHERS, *GRPC_ECHOES)
        for transport in GRPC
    }


@pytest.fixture(params=[*HTTP, *GRPC])
def transport(request):
    return request.param


@pytest.fixture
def said(transport, over_http, over_grpc):
    """Return what every case said over one transport."""
    return {**over_http, **over_grpc}[transport]


@pytest.mark.parametrize("case", GRPC_ECHOES)
def test_every_datatype_comes_back_as_it_was(said, case):
    assert said[case] == []


@pytest.mark.parametrize("case", ["json", "mixed", "gzip"])
@pytest.mark.parametrize("transport", HTTP)
def test_json_carries_every_datatype_too(said, case):
    assert said[case] == []


def test_half_floats_come_back_as_they_were(ask, halves, transport):
    assert ask("triton.py", transport, halves.address(transport), "halves") == {"halves": []}


def test_it_knows_who_is_ready(said):
    assert said["health"] == [True, True, True, True, False]


def test_it_reads_the_metadata(said):
    found = said["metadata"]

    assert found["server"] == "modelyard-serving"
    assert "binary_tensor_data" in found["extensions"]
    assert found["platform"] == "onnx_onnxv1"
    assert found["inputs"]["x_BYTES"] == ["BYTES", [-1, 2]]
    assert len(found["inputs"]) == len(found["outputs"]) == 12


@pytest.mark.parametrize("transport", HTTP)
def test_it_reads_the_statistics(said):
    assert said["statistics"] == [["rain", True]]


def test_id_version_and_requested_outputs_are_kept(said):
    assert said["identified"] == {
        "id": "a-7",
        "model": ["rain", "1"],
        "outputs": ["y_INT64", "y_BYTES"],
        "text": ["", "Zürich", '"\\\n', "日本"],
    }


@pytest.mark.parametrize(
    ("case", "code", "sentence"),
    [
        ("unknown model", "missing", "there is no model 'another' here; this is 'rain'"),
        ("wrong shape", "invalid", "input 'x_INT8' has shape [-1, 2], where -1 varies, not [2, 1]"),
        ("one row less", "invalid", "input 'x_INT8' has 1 where input 'x_BOOL' has 2"),
    ],
)
def test_it_tells_what_is_wrong(said, transport, case, code, sentence):
    wanted = CODES[transport.partition(".")[0]][code]
    assert said[case] == f"InferenceServerException: [{wanted}] {sentence}"
