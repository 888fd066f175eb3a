"""Answers of an exported model under onnxruntime: what a serving pod would say."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pandas as pd

from modelyard_core.signature import Signature
from modelyard_training.failures import CannotConvert

BATCH_ROWS = 20_000
TWO = 2
FATAL_ONLY = 4


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model says of some rows."""

    labels: npt.NDArray[Any] | None
    """Classification only."""
    probabilities: npt.NDArray[np.float32] | None
    values: npt.NDArray[np.float32] | None
    """Regression only."""

    @property
    def scores(self) -> npt.NDArray[np.float32]:
        """Return the one number a row that is profiled and sketched.

        The probability of the last class of two, of the winning class of more, or the value.
        """
        if self.probabilities is None:
            assert self.values is not None
            return self.values
        if self.probabilities.shape[1] == TWO:
            return self.probabilities[:, 1]
        return np.asarray(self.probabilities.max(axis=1))


class OnnxModel:
    """An exported model in an onnxruntime session."""

    def __init__(self, content: bytes, signature: Signature) -> None:
        self.signature = signature
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = FATAL_ONLY
        try:
            self._session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's errors have no base of their own
            what = str(error).splitlines()[0][:160]
            raise CannotConvert("ConversionFailed", f"the model does not load: {what}") from error

    def raw(self, frame: pd.DataFrame) -> list[npt.NDArray[Any]]:
        """Return the outputs as they are, in the order of the signature."""
        names = [tensor.name for tensor in self.signature.outputs]
        return list(self._session.run(names, feeds(self.signature, frame)))

    def answer(self, frame: pd.DataFrame) -> Answers:
        """Return the answers for all rows, asked in batches."""
        pieces = [
            self.raw(frame.iloc[start : start + BATCH_ROWS])
            for start in range(0, max(len(frame), 1), BATCH_ROWS)
        ]
        outputs = [np.concatenate(parts) for parts in zip(*pieces, strict=True)]
        if self.signature.score == "probabilities":
            return Answers(outputs[0], outputs[1], None)
        return Answers(None, None, outputs[0].reshape(-1))

    def declared(self) -> tuple[list[tuple[str, str, list[Any]]], list[tuple[str, str, list[Any]]]]:
        """Return name, type and shape of every input and output, as onnxruntime sees them."""
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        return (
            [(each.name, each.type, each.shape) for each in inputs],
            [(each.name, each.type, each.shape) for each in outputs],
        )


def feeds(signature: Signature, frame: pd.DataFrame) -> dict[str, npt.NDArray[Any]]:
    """Return the rows as the model's inputs."""
    arrays = {}
    for tensor in signature.inputs:
        cells = frame[tensor.name].to_numpy()
        kind: Any = np.object_ if tensor.datatype == "BYTES" else np.float32
        arrays[tensor.name] = cells.astype(kind).reshape(-1, 1)
    return arrays
