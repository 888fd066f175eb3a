"""Requests as MLServer's codecs write them, and as its own tests send them."""

import pytest


@pytest.fixture(scope="module")
def zoo_said(ask, zoo):
    return ask("mlserver_codecs.py", zoo.url, zoo.grpc, "metadata", "codecs", "codecs over gRPC")


@pytest.fixture(scope="module")
def total_said(ask, total):
    cases = ("one tensor", "nested", "request codec", "invalid datatype")
    return ask("mlserver_codecs.py", total.url, total.grpc, *cases)


def test_its_types_read_our_metadata(zoo_said):
    assert zoo_said["metadata"] == ["modelyard-serving", "rain", "onnx_onnxv1", 12, 12]


@pytest.mark.parametrize("case", ["codecs", "codecs over gRPC"])
def test_its_codecs_write_and_read_every_datatype(zoo_said, case):
    assert zoo_said[case] == []


def test_the_request_of_its_own_tests_is_answered(total_said):
    assert total_said["one tensor"] == ["my-test-id", "total", [[6]]]


@pytest.mark.parametrize("case", ["nested", "request codec"])
def test_rows_are_taken_nested_and_flat(total_said, case):
    assert total_said[case] == [[6], [15]]


def test_its_invalid_datatype_is_refused(total_said):
    assert total_said["invalid datatype"].startswith(
        """400 {"error":"input 'input-0': unknown datatype 'INT322'"""
    )


def test_a_data_frame_is_a_column_for_each_feature(ask, rain):
    said = ask("mlserver_codecs.py", rain.url, rain.grpc, "pandas")

    assert said["pandas"] == [["label", "probabilities"], [1, 0]]
