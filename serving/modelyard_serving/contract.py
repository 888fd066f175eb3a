"""What one model takes: a parsed request in, named arrays out.  Pure."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from math import prod

import msgspec

from modelyard_core.signature import Tensor
from modelyard_serving import binary, codec, protocol
from modelyard_serving.codec import Array
from modelyard_serving.errors import InvalidRequest, TooLarge
from modelyard_serving.protocol import InferRequest, RequestedOutput, RequestInput

BATCH = "batch"
"""The symbol of a first dimension that varies and has no name: the rows of a request."""


@dataclass(frozen=True, slots=True)
class InputSpec:
    """An input of the model.

    `symbols` has a name for each dimension that varies, the same for those that vary together, an
    empty one for a dimension that varies by itself, and None for a fixed one.
    """

    tensor: Tensor
    symbols: tuple[str | None, ...]

    @property
    def rows(self) -> str:
        """The symbol of the first dimension; empty where it is fixed, or there is none."""
        return (self.symbols[0] or "") if self.symbols else ""


class Bound(msgspec.Struct, frozen=True, gc=False):
    """A request that the model can run."""

    feeds: Mapping[str, Array]
    outputs: tuple[RequestedOutput, ...]
    rows: int


@dataclass(frozen=True, slots=True)
class Contract:
    """The inputs and outputs of the served model, and how many rows a request may have."""

    inputs: Mapping[str, InputSpec]
    outputs: tuple[str, ...]
    max_rows: int
    counted: frozenset[str] = frozenset()
    """Inputs whose rows are the request's; if there are none, the longest input tells."""

    def counting(self, names: AbstractSet[str]) -> "Contract":
        """Return the contract under which these inputs have a row for each row of the request.

        An exporter may give the first dimension of every input a name of its own, as if they had
        nothing to do with each other.
        """
        counted = {
            name: spec.rows for name, spec in self.inputs.items() if name in names and spec.rows
        }
        one = min(counted.values(), default="")
        inputs = {
            name: replace(
                spec,
                symbols=tuple(
                    one if symbol in counted.values() else symbol for symbol in spec.symbols
                ),
            )
            for name, spec in self.inputs.items()
        }
        return replace(self, inputs=inputs, counted=frozenset(counted))

    def bind(self, request: InferRequest) -> Bound:
        """Return the arrays that the request holds, in the model's terms.

        Raises:
            InvalidRequest: not what the model takes; the sentence names the tensor.
            TooLarge: more rows than a request may have.
        """
        inputs = request.inputs
        if request.raw_input is not None:
            inputs = (self._only_input(request.raw_input),)
        self._check_names([tensor.name for tensor in inputs])
        rows = self._check_shapes(inputs)
        feeds = {tensor.name: _decode(tensor) for tensor in inputs}
        return Bound(feeds, self._outputs(request), rows)

    def _outputs(self, request: InferRequest) -> tuple[RequestedOutput, ...]:
        unknown = [asked.name for asked in request.outputs if asked.name not in self.outputs]
        if unknown:
            raise InvalidRequest(
                f"the model has no output {unknown[0]!r}; it has {', '.join(self.outputs)}"
            )
        every = (RequestedOutput(name, request.binary_output) for name in self.outputs)
        return request.outputs or tuple(every)

    def _only_input(self, raw: bytes | memoryview) -> RequestInput:
        """Return the input that a raw request is: the model has no other, and at most one size varies.

        The size that varies follows from the number of bytes; BYTES are one element, all of them.
        """
        if len(self.inputs) != 1:
            raise InvalidRequest(
                f"a raw request needs a model with one input; this one takes "
                f"{', '.join(self.inputs)}"
            )
        wanted = next(iter(self.inputs.values())).tensor
        if wanted.shape.count(-1) > 1:
            raise InvalidRequest(
                f"a raw request needs an input with one size that varies; {wanted.name!r} has "
                f"shape {list(wanted.shape)}"
            )
        if wanted.datatype == "BYTES":
            shape = tuple(1 if size == -1 else size for size in wanted.shape)
            return RequestInput(wanted.name, "BYTES", shape, raw=binary.one_element(raw))
        fixed = prod(size for size in wanted.shape if size != -1)
        each = fixed * codec.NUMPY_TYPES[wanted.datatype].itemsize
        varying = len(raw) // each if each else 0
        shape = tuple(varying if size == -1 else size for size in wanted.shape)
        return RequestInput(wanted.name, wanted.datatype, shape, raw=raw)

    def _check_names(self, names: Sequence[str]) -> None:
        seen = set[str]()
        for name in names:
            if name not in self.inputs:
                raise InvalidRequest(
                    f"the model has no input {name!r}; it takes {', '.join(self.inputs)}"
                )
            if name in seen:
                raise InvalidRequest(f"input {name!r} is there twice")
            seen.add(name)
        missing = [name for name in self.inputs if name not in seen]
        if missing:
            raise InvalidRequest(f"input {missing[0]!r} is missing")

    def _check_shapes(self, tensors: Sequence[RequestInput]) -> int:
        sizes: dict[str, tuple[int, str]] = {}
        batches: dict[str, int] = {}
        for tensor in tensors:
            spec = self.inputs[tensor.name]
            _check_tensor(tensor, spec.tensor)
            if spec.rows:
                batches[tensor.name] = tensor.shape[0]
            for symbol, size in zip(spec.symbols, tensor.shape, strict=True):
                if not symbol:
                    continue
                known, first = sizes.setdefault(symbol, (size, tensor.name))
                if known != size:
                    raise InvalidRequest(
                        f"input {tensor.name!r} has {size} where input {first!r} has {known}"
                    )
        most = max(batches.values(), default=1)
        if most > self.max_rows:
            raise TooLarge(f"{most} rows; this server takes at most {self.max_rows} a request")
        return next((batches[name] for name in self.counted), most)


def _check_tensor(tensor: RequestInput, wanted: Tensor) -> None:
    what = f"input {tensor.name!r}"
    if tensor.datatype != wanted.datatype:
        raise InvalidRequest(f"{what} is {wanted.datatype}, not {tensor.datatype}")
    if tensor.datatype in codec.BINARY_ONLY and tensor.raw is None:
        raise InvalidRequest(
            f"{what} is {tensor.datatype}, which JSON cannot carry; send it as binary data"
        )
    fits = len(tensor.shape) == len(wanted.shape) and all(
        expected in (-1, size) for expected, size in zip(wanted.shape, tensor.shape, strict=True)
    )
    if not fits:
        raise InvalidRequest(
            f"{what} has shape {list(wanted.shape)}, where -1 varies, not {list(tensor.shape)}"
        )


def _decode(tensor: RequestInput) -> Array:
    name, datatype, shape = tensor.name, tensor.datatype, tensor.shape
    nulls = tensor.parameters.get(protocol.NULL_IS_MISSING, False)
    if not isinstance(nulls, bool):
        raise InvalidRequest(f"input {name!r}: {protocol.NULL_IS_MISSING} must be a boolean")
    if tensor.raw is not None:
        return binary.decode(name, datatype, shape, tensor.raw)
    if nulls:
        return codec.decode_with_missing(name, datatype, shape, tensor.data)
    return codec.decode(name, datatype, shape, tensor.data)
