"""A model under onnxruntime: opened from checked bytes, described in the protocol's words, run.

One thread per run and no spinning: onnxruntime sizes its pool from the host and does not see the
pod's CPU limit, which makes a small pod on a large node tens of times slower.
"""

import re
from collections.abc import Mapping, Sequence

import onnxruntime

from modelyard_core.signature import Tensor
from modelyard_serving import codec
from modelyard_serving.clock import thread_time
from modelyard_serving.codec import Array
from modelyard_serving.contract import BATCH, InputSpec
from modelyard_serving.errors import InvalidRequest, ModelFailed, Unservable

SMOOTHING = 0.1
MAX_SENTENCE = 300
ERROR_CODE = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")
SOURCE_POSITION = re.compile(r"/\S+:\d+ .*?\) (?:const )?(?=[A-Za-z])")
FATAL_ONLY = 4
SLOW_RUN_SECONDS = 0.0005
"""A run that is expected to take longer is moved off the event loop."""


class OnnxModel:
    """An open session with the names, types and shapes that it declares."""

    def __init__(self, data: bytes) -> None:
        self._session = _open(data)
        self.inputs = {arg.name: _input_spec(arg) for arg in self._session.get_inputs()}
        self.outputs = {arg.name: _datatype(arg, "output") for arg in self._session.get_outputs()}
        self._seconds_per_row = 0.0

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str], rows: int) -> list[Array]:
        """Return the outputs asked for; callable from any thread.

        Raises:
            InvalidRequest: the model does not take an empty batch.
            ModelFailed: the model broke on a request that keeps its contract.
        """
        # Processor time: a thread that waits for its turn on a busy node is not a slow model.
        start = thread_time()
        try:
            results: list[Array] = self._session.run(outputs, feeds)
        except Exception as error:  # onnxruntime's errors have no base of their own
            if rows == 0:
                raise InvalidRequest("the model does not take an empty batch") from error
            raise ModelFailed(f"the model failed: {first_line(error)}") from error
        self._observe(max(rows, 1), thread_time() - start)
        return results

    def is_slow_for(self, rows: int) -> bool:
        """Return whether a run of this size is expected to hold up the event loop."""
        return self._seconds_per_row * rows > SLOW_RUN_SECONDS

    def _observe(self, rows: int, seconds: float) -> None:
        # Two threads at once may lose one sample of a moving average: no harm.
        each = seconds / rows
        known = self._seconds_per_row
        self._seconds_per_row = known + SMOOTHING * (each - known) if known else each


def _open(data: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = FATAL_ONLY
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no base of their own
        version = onnxruntime.__version__
        raise Unservable(
            f"onnxruntime {version} cannot load the model: {first_line(error)}"
        ) from error


def _datatype(arg: onnxruntime.NodeArg, what: str) -> str:
    datatype = codec.ONNX_TYPES.get(arg.type)
    if datatype is None:
        raise Unservable(f"{what} {arg.name!r} is {arg.type}; only plain tensors can be served")
    return datatype


def _input_spec(arg: onnxruntime.NodeArg) -> InputSpec:
    datatype = _datatype(arg, "input")
    if datatype in codec.BINARY_ONLY:
        raise Unservable(f"input {arg.name!r} is {datatype}, which JSON cannot carry")
    shape = tuple(size if isinstance(size, int) and size >= 0 else -1 for size in arg.shape)
    symbols = tuple(
        _symbol(axis, size) if shape[axis] < 0 else None for axis, size in enumerate(arg.shape)
    )
    return InputSpec(Tensor(arg.name, datatype, shape), symbols)


def _symbol(axis: int, size: object) -> str:
    if isinstance(size, str) and size:
        return size
    return BATCH if axis == 0 else ""


def first_line(error: Exception) -> str:
    """Return what an error says, without onnxruntime's codes and source positions."""
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return SOURCE_POSITION.sub("", ERROR_CODE.sub("", line))[:MAX_SENTENCE]
