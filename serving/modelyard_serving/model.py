"""A model under onnxruntime: opened from checked bytes, described in the protocol's words, run.

One thread per run and no spinning: onnxruntime sizes its pool from the host and does not see the
pod's CPU limit, which makes a small pod on a large node tens of times slower.

onnxruntime's Python API takes bfloat16 only as a value of its own, and gives none out: such an
output is read from a copy in FP32, which holds every bfloat16 exactly, bit by bit.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from modelyard_core.signature import Tensor
from modelyard_serving import codec, onnx_file, refusals
from modelyard_serving.clock import perf_counter, thread_time
from modelyard_serving.codec import Array
from modelyard_serving.contract import BATCH, InputSpec
from modelyard_serving.errors import InvalidRequest, ModelFailed, Unservable
from modelyard_serving.pace import SHORT_SECONDS, Pace
from modelyard_serving.refusals import first_line

FATAL_ONLY = 4
FOLDER_OF_WEIGHTS = "session.model_external_initializers_file_folder_path"
ONNX_BFLOAT16 = 16
"""TensorProto.BFLOAT16."""
COPY = "{}:modelyard-fp32"
"""The name of an output's copy in FP32."""


class OnnxModel:
    """An open session with the names, types and shapes that it declares.

    `folder` holds the files beside the model that some of its tensors lie in.
    """

    def __init__(self, data: bytes, folder: Path | None = None) -> None:
        self._session = _open(data, folder)
        declared = self._session.get_outputs()
        self.inputs = _input_specs(self._session.get_inputs())
        self.outputs = {arg.name: _datatype(arg, "output") for arg in declared}
        self.output_shapes = {arg.name: _shape(arg) for arg in declared}
        """Empty where the shape is that of a scalar, or not known."""
        if len(self.outputs) < len(declared):
            raise Unservable("two outputs of the model have one name")
        self.inputs_of_any_rank = frozenset[str]()
        """They look like scalars here; the bundle's signature says what they take."""
        if not all(spec.tensor.shape for spec in self.inputs.values()):
            self.inputs_of_any_rank = onnx_file.inputs_of_any_rank(data)
        self._halves_in = _named("BF16", {n: s.tensor.datatype for n, s in self.inputs.items()})
        self._halves_out = _named("BF16", self.outputs)
        if self._halves_out:
            copies = [(name, COPY.format(name)) for name in sorted(self._halves_out)]
            self._session = _open(onnx_file.with_float_outputs(data, copies), folder)
        self._call = direct_run(self._session)
        self.pace = Pace()

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str], rows: int) -> list[Array]:
        """Return the outputs asked for; callable from any thread.

        Raises:
            InvalidRequest: the model does not take an empty batch.
            ModelFailed: the model broke on a request that keeps its contract.
        """
        pace = self.pace
        is_short = pace.is_short(rows) and not pace.is_due()
        clock = perf_counter if is_short else thread_time
        start = clock()
        try:
            results: list[Array] = (
                self._run_halves(feeds, outputs)
                if self._halves_in or self._halves_out
                else self._call(outputs, feeds, None)
            )
        except Exception as error:  # onnxruntime's errors have no base of their own
            if rows == 0:
                raise InvalidRequest("the model does not take an empty batch") from error
            raise ModelFailed(f"the model failed: {first_line(error)}") from error
        seconds = clock() - start
        if not is_short:
            pace.observe(rows, seconds)
        elif seconds > SHORT_SECONDS:
            pace.forget(rows)
        return results

    def _run_halves(self, feeds: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        halves = self._halves_out
        results = self._call(
            [COPY.format(name) if name in halves else name for name in outputs],
            {name: _half(a) if name in self._halves_in else a for name, a in feeds.items()},
            None,
        )
        pairs = zip(outputs, results, strict=True)
        return [_upper_half(array) if name in halves else array for name, array in pairs]


def direct_run(session: onnxruntime.InferenceSession) -> Callable[..., list[Array]]:
    """Return the run behind the Python one, which costs a fifth of a small model's time.

    The contract has checked what the Python one checks.  It is no public name, so it may be gone.
    """
    direct: Callable[..., list[Array]] = getattr(
        getattr(session, "_sess", None), "run", session.run
    )
    return direct


def _open(data: bytes, folder: Path | None) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Another format could name files that nobody has checked.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    options.log_severity_level = FATAL_ONLY
    if folder is not None:
        options.add_session_config_entry(FOLDER_OF_WEIGHTS, str(folder))
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no base of their own
        raise Unservable(refusals.loading_failure(error)) from error


def _datatype(arg: onnxruntime.NodeArg, what: str) -> str:
    datatype = codec.ONNX_TYPES.get(arg.type)
    if datatype is None:
        raise Unservable(refusals.unservable_type(f"{what} {arg.name!r}", arg.type))
    return datatype


def _input_specs(args: Sequence[onnxruntime.NodeArg]) -> dict[str, InputSpec]:
    if not args:
        raise Unservable("the model takes no input, so it always answers the same")
    return {arg.name: _input_spec(arg) for arg in args}


def _input_spec(arg: onnxruntime.NodeArg) -> InputSpec:
    tensor = Tensor(arg.name, _datatype(arg, "input"), _shape(arg))
    symbols = tuple(
        _symbol(axis, name) if tensor.shape[axis] < 0 else None
        for axis, name in enumerate(arg.shape)
    )
    return InputSpec(tensor, symbols)


def _shape(arg: onnxruntime.NodeArg) -> tuple[int, ...]:
    return tuple(size if isinstance(size, int) and size >= 0 else -1 for size in arg.shape)


def spec_of(tensor: Tensor) -> InputSpec:
    """Return the spec of an input that only the signature describes: its sizes have no names."""
    symbols = (_symbol(axis, None) if size < 0 else None for axis, size in enumerate(tensor.shape))
    return InputSpec(tensor, tuple(symbols))


def _symbol(axis: int, size: object) -> str:
    if isinstance(size, str) and size:
        return size
    return BATCH if axis == 0 else ""


def _named(datatype: str, datatypes: Mapping[str, str]) -> frozenset[str]:
    return frozenset(name for name, found in datatypes.items() if found == datatype)


def _half(array: Array) -> Any:  # noqa: ANN401 (onnxruntime has no types)
    """Return a bfloat16 array as a value of onnxruntime, which keeps the array alive."""
    # Only whole arrays: onnxruntime does not look at strides.
    whole = array if array.flags.c_contiguous else array.copy()
    return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(
        whole.view(np.uint16), ONNX_BFLOAT16
    )


def _upper_half(array: Array) -> Array:
    """Return the bfloat16 array that was copied into FP32: its bits are the upper 16."""
    bits = array.view(np.uint32) >> np.uint32(16)
    return np.asarray(bits, dtype=np.uint16).view(codec.NUMPY_TYPES["BF16"])
