"""A proven model with what the fast way needs of it: readers, writers, and whether rows are alone.

A model may take many rows at once and still let one row's answer depend on the others: by a mean over
the batch, say.  Requests of different clients share a run only after a proof that they cannot feel
each other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelyard_core import codec as shapes
from modelyard_core.errors import ModelyardError
from modelyard_core.reference import Profile
from modelyard_serving import codec, protocol
from modelyard_serving.array_writer import ArrayWriter
from modelyard_serving.clock import thread_time
from modelyard_serving.codec import Array
from modelyard_serving.contract import Bound
from modelyard_serving.fast_binary import BinaryReader
from modelyard_serving.fast_json import Columns, LargeReader, RowWriter, small_reader
from modelyard_serving.inference import Inference
from modelyard_serving.pace import Pace
from modelyard_serving.protocol import RequestedOutput

PROOF_ROWS = 64
COMPARED_ROWS = 16
WARM_RUNS = 3
"""Of the proof, so that what a run costs is known from the first request on."""
PROOF_SECONDS = 0.25
"""A model that needs more for the proof gains nothing from shared runs."""
RELATIVE = 1e-3
ABSOLUTE = 1e-5
"""How far a row's answer may move by the rounding of a run with other rows."""
HALF_OF_THEM = 1 << 31


@dataclass(frozen=True, slots=True)
class FastModel:
    """What the fast way answers from."""

    inference: Inference
    pace: Pace
    """Of the model's runs."""
    columns: Columns | None
    """The inputs, if each has one row for each row of the request; else there is no fast JSON."""
    read_small: Callable[[bytes], Any] | None
    large: LargeReader | None
    binary: BinaryReader
    writer: RowWriter
    array_writer: ArrayWriter
    joins: bool
    """Whether requests may share a run."""
    outputs: tuple[RequestedOutput, ...]
    names: tuple[str, ...]
    score: int
    """The place of the score among the outputs."""

    def read(self, body: bytes, json_length: int | None) -> tuple[str | None, Bound]:
        """Return the id and the arrays of any request.

        Raises:
            InvalidRequest, TooLarge: as `protocol.parse` and `Contract.bind`.
        """
        if json_length is not None:
            return self.binary.read(body, json_length)
        if self.large is not None:
            found = self.large.read(body)
            if found is not None:
                request_id, rows, feeds = found
                return request_id, Bound(feeds, self.outputs, rows)
        request = protocol.parse(body)
        return request.id, self.inference.contract.bind(request)


def of(inference: Inference) -> FastModel:
    """Return what the fast way needs; runs the model some times, in whatever thread this is."""
    signature = inference.signature
    profile = shapes.loads(Profile, inference.profile)
    columns = Columns.of(inference.contract)
    names = tuple(tensor.name for tensor in signature.outputs)
    varies = all(tensor.shape[:1] == (-1,) for tensor in signature.outputs)
    return FastModel(
        inference=inference,
        pace=inference.model.pace,
        columns=columns,
        read_small=None if columns is None else small_reader(columns),
        large=None if columns is None else LargeReader.of(columns),
        binary=BinaryReader(inference.contract),
        writer=RowWriter(
            inference.name,
            inference.version,
            [(tensor.name, tensor.datatype) for tensor in signature.outputs],
        ),
        array_writer=ArrayWriter(inference.name, inference.version, inference.model.outputs),
        joins=columns is not None and varies and _rows_are_alone(inference, columns, profile),
        outputs=tuple(RequestedOutput(name) for name in names),
        names=names,
        score=names.index(signature.score),
    )


def _rows_are_alone(inference: Inference, columns: Columns, profile: Profile) -> bool:
    """Return whether unlike rows get the same answers alone as together."""
    feeds = _unlike_rows(columns, profile)
    names = [tensor.name for tensor in inference.signature.outputs]
    end = thread_time() + PROOF_SECONDS
    together: list[Array] = []
    try:
        for _ in range(WARM_RUNS):
            together = inference.model.run(feeds, names, PROOF_ROWS)
            if thread_time() > end:
                return False
        for row in range(COMPARED_ROWS):
            one = {name: array[row : row + 1] for name, array in feeds.items()}
            alone = inference.model.run(one, names, 1)
            if thread_time() > end or not all(map(partial(_is_row, row), together, alone)):
                return False
    except ModelyardError:
        return False
    return True


def _is_row(row: int, together: Array, alone: Array) -> bool:
    return len(together) == PROOF_ROWS and _agree(together[row : row + 1], alone)


def _agree(one: Array, other: Array) -> bool:
    if one.shape != other.shape or one.dtype.kind not in "fiub":
        return one.shape == other.shape and bool(one.tolist() == other.tolist())
    return bool(np.allclose(one, other, rtol=RELATIVE, atol=ABSOLUTE, equal_nan=True))


def _thrown(dice: Random, shape: tuple[int, ...]) -> NDArray[np.uint32]:
    """Return numbers of 32 bits, all of them equally likely."""
    return np.frombuffer(dice.randbytes(4 * prod(shape)), np.uint32).reshape(shape)


def _unlike_rows(columns: Columns, profile: Profile) -> dict[str, Array]:
    dice = Random(0)  # noqa: S311 - the same rows each time; numpy's dice are megabytes of libraries
    seen: dict[str, Sequence[float | str]] = {
        **{column.name: column.edges for column in profile.numeric},
        **{column.name: column.categories for column in profile.categories},
    }
    feeds = {}
    for spec in columns.specs:
        tensor = spec.tensor
        shape = (PROOF_ROWS, *tensor.shape[1:])
        values: Any = seen.get(tensor.name)
        if values:
            rows = np.array(values, dtype=object)[_thrown(dice, shape) % len(values)]
        elif tensor.datatype in codec.FLOATS:
            rows = _thrown(dice, shape) / HALF_OF_THEM - 1.0
        else:
            rows = np.full(shape, "" if tensor.datatype == "BYTES" else 0, dtype=object)
        feeds[tensor.name] = rows.astype(codec.NUMPY_TYPES[tensor.datatype])
    return feeds
