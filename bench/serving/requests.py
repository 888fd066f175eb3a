"""The same rows in each server's own words, and the judge of what it answers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from modelyard_serving.grpc_wire import inference_pb2 as wire

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]

INPUT = "X"
TOLERANCE = 1e-5
"""The last bits of a row's answer depend on the rows that it was computed with."""
COUNTER = b"0" * 16


@dataclass(frozen=True, slots=True)
class Question:
    """Some rows and what they must be answered."""

    id: str
    rows: Floats
    label: npt.NDArray[np.int64]
    probabilities: Floats

    def judge(self, label: object, probabilities: object) -> None:
        """Raise if an answer is not this question's; a label of None was not asked for.

        Raises:
            ValueError: it is not.
        """
        if label is not None and not np.array_equal(np.asarray(label).reshape(-1), self.label):
            raise ValueError(f"{self.id}: label {label!r}, expected {self.label.tolist()}")
        given = np.asarray(probabilities, dtype=np.float32).reshape(-1)
        expected = self.probabilities.reshape(-1)
        if given.shape != expected.shape or not np.allclose(given, expected, atol=TOLERANCE):
            raise ValueError(f"{self.id}: probabilities {given}, expected {expected}")


class Dialect(Protocol):
    """How a server is asked, and how its answers are read."""

    def request(self, question: Question) -> bytes:
        """Return what is sent."""

    def judge(self, question: Question, answer: bytes) -> None:
        """Raise ValueError if the answer is wrong."""


@dataclass(frozen=True, slots=True)
class Post:
    """What all HTTP dialects share: one whole request for the model's path."""

    model: str
    unique: bool = False
    """Carries `x-request-id`, a different one each time, as a request through the router does."""

    def request(self, question: Question) -> bytes:
        """Return head and body."""
        body = self.body(question)
        head = [
            f"POST /v2/models/{self.model}/infer HTTP/1.1",
            "Host: 127.0.0.1",
            *([f"X-Request-Id: {COUNTER.decode()}"] if self.unique else []),
            *(f"{name}: {value}" for name, value in self.headers(question).items()),
            f"Content-Length: {len(body)}",
        ]
        return "\r\n".join([*head, "", ""]).encode() + body

    def counter(self, request: bytes) -> int:
        """Return where the generator counts up in a request; 0 for nowhere."""
        return max(request.find(COUNTER), 0) if self.unique else 0

    def headers(self, question: Question) -> Mapping[str, str]:
        """Return what the body's form needs."""
        del question
        return {"Content-Type": "application/json"}

    def body(self, question: Question) -> bytes:
        """Return the body."""
        raise NotImplementedError


class OpenInference(Post):
    """Open Inference Protocol, JSON both ways."""

    def body(self, question: Question) -> bytes:
        """Return one input with the shortest digits that say the same float."""
        data = [float(f"{value:.7g}") for value in question.rows.reshape(-1).tolist()]
        return compact({"id": question.id, "inputs": [{**described(question), "data": data}]})

    def judge(self, question: Question, answer: bytes) -> None:
        """Compare the outputs and the id."""
        told = json.loads(answer)
        outputs = {output["name"]: output["data"] for output in told["outputs"]}
        check_id(question, told)
        question.judge(outputs["label"], outputs["probabilities"])


class Binary(Post):
    """Open Inference Protocol with binary tensors both ways."""

    def headers(self, question: Question) -> Mapping[str, str]:
        """Say where the JSON ends."""
        return {
            "Content-Type": "application/octet-stream",
            "Inference-Header-Content-Length": str(len(self._json(question))),
        }

    def body(self, question: Question) -> bytes:
        """Return JSON and the rows' bytes."""
        return self._json(question) + question.rows.tobytes()

    def _json(self, question: Question) -> bytes:
        size = {"binary_data_size": question.rows.nbytes}
        return compact(
            {
                "id": question.id,
                "parameters": {"binary_data_output": True},
                "inputs": [{**described(question), "parameters": size}],
            }
        )

    def judge(self, question: Question, answer: bytes) -> None:
        """Cut the tensors off behind the JSON, in the order of the outputs."""
        told, end = json.JSONDecoder().raw_decode(answer.decode("latin-1"))
        check_id(question, told)
        arrays = {}
        for output in told["outputs"]:
            size = output["parameters"]["binary_data_size"]
            dtype = {"INT64": "<i8", "FP32": "<f4"}[output["datatype"]]
            arrays[output["name"]] = np.frombuffer(answer[end : end + size], dtype)
            end += size
        if end != len(answer):
            raise ValueError(f"{len(answer)} bytes, {end} expected")
        question.judge(arrays["label"], arrays["probabilities"])


class Rows(Post):
    """The small body of LitServe and BentoML: `{"x": [[…]]}`."""

    def body(self, question: Question) -> bytes:
        """Return the rows, nested."""
        rows = [[float(f"{value:.7g}") for value in row] for row in question.rows.tolist()]
        return compact({"x": rows})

    def judge(self, question: Question, answer: bytes) -> None:
        """Compare the probabilities, and the label where there is one."""
        told = json.loads(answer)
        if isinstance(told, dict):
            question.judge(told["label"], told["probabilities"])
        else:
            question.judge(None, told)


class Echo(OpenInference):
    """The request's body comes back."""

    def judge(self, question: Question, answer: bytes) -> None:
        """Compare bytes."""
        if answer != self.body(question):
            raise ValueError(f"{question.id}: not an echo: {answer!r}")


def described(question: Question) -> dict[str, Any]:
    """Return what an input says of itself, in JSON and in binary."""
    return {"name": INPUT, "shape": list(question.rows.shape), "datatype": "FP32"}


def check_id(question: Question, told: Mapping[str, Any]) -> None:
    """Raise ValueError if the answer is another request's."""
    if told.get("id") != question.id:
        raise ValueError(f"{question.id}: an answer with id {told.get('id')!r}")


def compact(value: object) -> bytes:
    """Return JSON without blanks."""
    return json.dumps(value, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Probe:
    """A question for the server's readiness: the one that Kubernetes asks."""

    def request(self, question: Question) -> bytes:
        """Return the head; there is no body."""
        del question
        return b"GET /v2/health/ready HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

    def judge(self, question: Question, answer: bytes) -> None:
        """Every answer with status 200 is right."""


@dataclass(frozen=True, slots=True)
class GrpcCall:
    """`ModelInfer` with raw tensors."""

    model: str
    path: str = "/inference.GRPCInferenceService/ModelInfer"

    def request(self, question: Question) -> bytes:
        """Return the message."""
        tensor = wire.ModelInferRequest.InferInputTensor(**described(question))
        message = wire.ModelInferRequest(
            model_name=self.model,
            id=question.id,
            inputs=[tensor],
            raw_input_contents=[question.rows.tobytes()],
        )
        return bytes(message.SerializeToString())

    def judge(self, question: Question, answer: bytes) -> None:
        """Compare the outputs, raw or not, and the id."""
        message = wire.ModelInferResponse.FromString(answer)
        check_id(question, {"id": message.id})
        arrays = {
            output.name: _tensor(output, message.raw_output_contents[place : place + 1])
            for place, output in enumerate(message.outputs)
        }
        question.judge(arrays["label"], arrays["probabilities"])


def _tensor(output: wire.ModelInferResponse.InferOutputTensor, raw: Sequence[bytes]) -> object:
    if raw:
        return np.frombuffer(raw[0], {"INT64": "<i8", "FP32": "<f4"}[output.datatype])
    contents = output.contents
    return list(contents.int64_contents or contents.fp32_contents)
