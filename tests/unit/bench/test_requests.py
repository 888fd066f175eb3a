"""The judge of answers: right ones pass in every server's words, others are named."""

import json

import numpy as np
import pytest
from bench.serving import requests
from bench.serving.requests import Question

from modelyard_serving.grpc_wire import inference_pb2 as wire

ASKED = Question(
    "row-0001",
    np.array([[5.1, 3.5], [4.9, 3.0]], dtype=np.float32),
    np.array([0, 1]),
    np.array([[0.9, 0.1], [0.25, 0.75]], dtype=np.float32),
)


def outputs(label=(0, 1), probabilities=(0.9, 0.1, 0.25, 0.75), asked="row-0001"):
    return {
        "id": asked,
        "outputs": [
            {"name": "label", "data": list(label)},
            {"name": "probabilities", "data": list(probabilities)},
        ],
    }


def open_inference(**how):
    return requests.OpenInference("iris"), json.dumps(outputs(**how)).encode()


def binary(label=(0, 1), probabilities=(0.9, 0.1, 0.25, 0.75), asked="row-0001"):
    tensors = [np.array(label, "<i8"), np.array(probabilities, "<f4")]
    described = [
        {"name": name, "datatype": kind, "parameters": {"binary_data_size": array.nbytes}}
        for name, kind, array in zip(
            ("label", "probabilities"), ("INT64", "FP32"), tensors, strict=True
        )
    ]
    head = json.dumps({"id": asked, "outputs": described}).encode()
    return requests.Binary("iris"), head + b"".join(array.tobytes() for array in tensors)


def grpc(label=(0, 1), probabilities=(0.9, 0.1, 0.25, 0.75), asked="row-0001"):
    tensor = wire.ModelInferResponse.InferOutputTensor
    message = wire.ModelInferResponse(
        id=asked,
        outputs=[
            tensor(name="label", datatype="INT64"),
            tensor(name="probabilities", datatype="FP32"),
        ],
        raw_output_contents=[
            np.array(label, "<i8").tobytes(),
            np.array(probabilities, "<f4").tobytes(),
        ],
    )
    return requests.GrpcCall("iris"), message.SerializeToString()


FORMS = pytest.mark.parametrize("form", [open_inference, binary, grpc], ids=lambda f: f.__name__)


@FORMS
def test_the_right_answer_passes_and_so_does_its_last_bit(form):
    for dialect, answer in (form(), form(probabilities=(0.900001, 0.1, 0.25, 0.75))):
        dialect.judge(ASKED, answer)


@FORMS
@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        pytest.param({"label": (1, 1)}, "label", id="another-label"),
        pytest.param({"probabilities": (0.8, 0.2, 0.25, 0.75)}, "probabilities", id="another-row"),
        pytest.param({"probabilities": (0.9, 0.1)}, "probabilities", id="a-row-is-missing"),
        pytest.param({"asked": "row-0002"}, "row-0002", id="another-request"),
    ],
)
def test_a_wrong_answer_is_named(form, how, sentence):
    dialect, answer = form(**how)

    with pytest.raises(ValueError, match=sentence):
        dialect.judge(ASKED, answer)


def test_typed_contents_are_read_as_well_as_raw_ones():
    tensor, contents = wire.ModelInferResponse.InferOutputTensor, wire.InferTensorContents
    message = wire.ModelInferResponse(
        id="row-0001",
        outputs=[
            tensor(name="label", contents=contents(int64_contents=[0, 1])),
            tensor(name="probabilities", contents=contents(fp32_contents=[0.9, 0.1, 0.25, 0.75])),
        ],
    )

    requests.GrpcCall("iris").judge(ASKED, message.SerializeToString())


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param([[0.9, 0.1], [0.25, 0.75]], id="probabilities-alone"),
        pytest.param(
            {"label": [0, 1], "probabilities": [[0.9, 0.1], [0.25, 0.75]]}, id="with-labels"
        ),
    ],
)
def test_answers_without_a_protocol_are_judged_by_their_values(answer):
    dialect = requests.Rows("iris")

    dialect.judge(ASKED, json.dumps(answer).encode())

    with pytest.raises(ValueError, match="probabilities"):
        dialect.judge(ASKED, json.dumps(answer).replace("0.25", "0.5").encode())


def test_an_echo_is_the_body_that_was_sent():
    dialect = requests.Echo("iris")
    body = dialect.request(ASKED).partition(b"\r\n\r\n")[2]

    dialect.judge(ASKED, body)

    with pytest.raises(ValueError, match="not an echo"):
        dialect.judge(ASKED, body[:-1])


@pytest.mark.parametrize("dialect", [requests.OpenInference("iris"), requests.Binary("iris")])
def test_a_request_says_how_long_it_is(dialect):
    head, _, body = dialect.request(ASKED).partition(b"\r\n\r\n")

    assert head.startswith(b"POST /v2/models/iris/infer HTTP/1.1\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert dialect.counter(dialect.request(ASKED)) == 0


def test_a_unique_head_tells_where_it_is_counted_up():
    dialect = requests.OpenInference("iris", unique=True)
    request = dialect.request(ASKED)
    at = dialect.counter(request)

    assert request[:at].endswith(b"X-Request-Id: ")
    assert request[at : at + 18] == b"0" * 16 + b"\r\n"
