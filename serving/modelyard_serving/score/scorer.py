"""A chunk through the core that serves: the same contract, the same model, no HTTP."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from modelyard_core.signature import Signature
from modelyard_serving.codec import Array
from modelyard_serving.contract import Contract
from modelyard_serving.model import OnnxModel
from modelyard_serving.protocol import InferRequest
from modelyard_serving.score import columns, predictions
from modelyard_serving.score.columns import Cells, Feature
from modelyard_serving.score.rows import Chunk


@dataclass(frozen=True, slots=True)
class Scorer:
    """A proven model, ready for chunks from any thread."""

    signature: Signature
    contract: Contract
    model: OnnxModel
    features: tuple[Feature, ...]
    keep: tuple[str, ...]
    batch_rows: int

    def cells_of_a_row(self) -> int:
        """Return how many cells are read of each row."""
        return len(self.keep) + sum(feature.width for feature in self.features)

    def schema(self, source: pa.Schema) -> pa.Schema:
        """Return the schema of the output: what is kept, then what the model says."""
        kept = [source.field(name) for name in self.keep]
        return pa.schema([*kept, *map(predictions.field_of, self.signature.outputs)])

    def score(self, chunk: Chunk) -> list[pa.Array]:
        """Return the columns of the output for a chunk.

        Raises:
            BadData: cells that the model cannot be given.
            InvalidRequest: not what the model takes.
            ModelFailed: the model broke.
        """
        batch = chunk.batch
        cells = [columns.read(feature, batch, chunk.first) for feature in self.features]
        runs = [
            self._run(cells, start, min(start + self.batch_rows, batch.num_rows))
            for start in range(0, batch.num_rows, self.batch_rows)
        ]
        outputs = [
            predictions.column_of(tensor, [run[place] for run in runs], batch.num_rows)
            for place, tensor in enumerate(self.signature.outputs)
        ]
        return [*(batch.column(name) for name in self.keep), *outputs]

    def _run(self, cells: Sequence[Cells], start: int, stop: int) -> list[Array]:
        tensors = tuple(each.request_input(start, stop) for each in cells)
        bound = self.contract.bind(InferRequest(tensors))
        return self.model.run(bound.feeds, [asked.name for asked in bound.outputs], bound.rows)
