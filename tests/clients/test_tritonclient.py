"""Triton's own client library, synchronous and asynchronous, unchanged."""

import pytest

ECHOES = ("json", "binary", "default", "mixed", "gzip", "deflate", "binary gzip", "empty")
OTHERS = (
    "statistics",
    "health",
    "metadata",
    "identified",
    "unknown model",
    "wrong shape",
    "one row less",
)


@pytest.fixture(scope="module", params=["http", "http.aio"])
def said(request, ask, zoo):
    """Return what every case said over one transport."""
    return ask("triton.py", request.param, f"127.0.0.1:{zoo.port}", *OTHERS, *ECHOES)


@pytest.mark.parametrize("case", ECHOES)
def test_every_datatype_comes_back_as_it_was(said, case):
    assert said[case] == []


@pytest.mark.parametrize("transport", ["http", "http.aio"])
def test_half_floats_come_back_as_they_were(ask, halves, transport):
    said = ask("triton.py", transport, f"127.0.0.1:{halves.port}", "halves")

    assert said == {"halves": []}


def test_it_knows_who_is_ready(said):
    assert said["health"] == [True, True, True, True, False]


def test_it_reads_the_metadata(said):
    found = said["metadata"]

    assert found["server"] == "modelyard-serving"
    assert found["extensions"] == ["binary_tensor_data", "statistics"]
    assert found["platform"] == "onnx_onnxv1"
    assert found["inputs"]["x_BYTES"] == ["BYTES", [-1, 2]]
    assert len(found["inputs"]) == len(found["outputs"]) == 12


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
    ("case", "status", "sentence"),
    [
        ("unknown model", "404", "there is no model 'another' here; this is 'rain'"),
        ("wrong shape", "400", "input 'x_INT8' has shape [-1, 2], where -1 varies, not [2, 1]"),
        ("one row less", "400", "input 'x_INT8' has 1 where input 'x_BOOL' has 2"),
    ],
)
def test_it_tells_what_is_wrong(said, case, status, sentence):
    assert said[case] == f"InferenceServerException: [{status}] {sentence}"
