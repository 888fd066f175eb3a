"""The KServe SDK's inference clients, unchanged."""

import pytest

CASES = ("health", "json", "binary", "unknown model", "wrong shape")


@pytest.fixture(scope="module")
def said(ask, zoo):
    """Return what every case said over REST."""
    return ask("kserve_sdk.py", "rest", zoo.url, *CASES)


@pytest.mark.parametrize("case", ["json", "binary"])
def test_every_datatype_comes_back_as_it_was(said, case):
    assert said[case] == []


def test_half_floats_come_back_as_they_were(ask, half):
    assert ask("kserve_sdk.py", "rest", half.url, "halves") == {"halves": []}


def test_it_knows_who_is_ready(said):
    assert said["health"] == [True, True, True]


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        ("unknown model", "there is no model 'another' here; this is 'rain'"),
        ("wrong shape", "input 'x_INT8' has shape [-1, 2], where -1 varies, not [2, 1]"),
    ],
)
def test_it_tells_what_is_wrong(said, case, sentence):
    assert said[case] == f"HTTPStatusError: {{'error': {sentence!r}}}"
