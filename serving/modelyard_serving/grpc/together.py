"""Small calls of raw numbers that arrive together are run together, as `coalescing.py` does for HTTP.

Nothing waits: what one turn of the event loop brings is answered at its end, in one run of the model
where its rows do not depend on each other.  Whatever is in doubt goes the slow way.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from modelyard_core import headers
from modelyard_core.errors import ModelyardError
from modelyard_core.roles import Role
from modelyard_serving.clock import perf_counter
from modelyard_serving.coalescing import TURN_SECONDS
from modelyard_serving.codec import Array
from modelyard_serving.fast_json import SMALL_ROWS
from modelyard_serving.fast_model import FastModel
from modelyard_serving.grpc import raw as grpc_raw
from modelyard_serving.grpc import status as grpc_status
from modelyard_serving.grpc.calls import Call
from modelyard_serving.grpc.raw import RawReader, RawWriter, Reading
from modelyard_serving.grpc.status import BUG, Status
from modelyard_serving.grpc_wire import inference_pb2 as wire
from modelyard_serving.heads import SMALL_BYTES
from modelyard_serving.metrics import Metrics
from modelyard_serving.pace import MAX_ROWS
from modelyard_serving.protocol import InferRequest
from modelyard_serving.receipts import Receipts

logger = logging.getLogger(__name__)

RECEIPT = headers.RECEIPT.encode()


class Entry(NamedTuple):
    """A call that waits for the end of this turn of the event loop."""

    call: Call
    reading: Reading
    role: Role
    sample_id: str | None


class Together:
    """The calls of one process that wait for the end of this turn."""

    def __init__(
        self,
        model: FastModel,
        metrics: Metrics,
        papers: Receipts,
        run_alone: Callable[[Call], None],
        *,
        share: bool,
    ) -> None:
        """Take what answers a call the slow way, and whether calls may share a run."""
        inference = model.inference
        datatypes = {tensor.name: tensor.datatype for tensor in inference.signature.outputs}
        self._model = model
        self._metrics = metrics
        self._papers = papers
        self._run_alone = run_alone
        self._most = MAX_ROWS if share else 1
        self._reader = RawReader(inference.name, inference.version)
        self._writer = RawWriter(inference.name, inference.version, datatypes)
        self._able = model.joins and self._writer.is_able
        self._waiting: list[Entry] = []

    def add(self, call: Call, role: Role, sample_id: str | None) -> bool:
        """Take a call, if it is of this kind; it is answered at the end of this turn."""
        if not self._able or call.is_packed or call.size > SMALL_BYTES:
            return False
        reading = self._reader.read(call.message())
        if reading is None:
            return False
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        self._waiting.append(Entry(call, reading, role, sample_id))
        return True

    def learn(self, call: Call, parsed: wire.ModelInferRequest, request: InferRequest) -> None:
        """Remember what a call said that was answered the slow way."""
        small = not call.is_packed and call.size <= SMALL_BYTES and bool(parsed.raw_input_contents)
        if self._able and small and 0 < request.inputs[0].shape[0] <= SMALL_ROWS:
            self._reader.learn(call.message(), parsed, request)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        end = perf_counter() + TURN_SECONDS
        done = 0
        while done < len(waiting) and (not done or perf_counter() < end):
            group = self._group(waiting, done)
            done += len(group)
            self._answer_open([entry for entry in group if not entry.call.closed])
        if done < len(waiting):
            asyncio.get_running_loop().call_soon(self._flush)
            self._waiting = waiting[done:] + self._waiting
        for sink in {entry.call.sink for entry in waiting[:done]}:
            sink.flush()

    def _answer_open(self, group: Sequence[Entry]) -> None:
        """Answer calls that somebody waits for, together or each alone."""
        try:
            if not group or self._answer(group):
                return
        except Exception:
            logger.exception("calls that ran together failed")
            for entry in group:
                if not entry.call.closed:
                    entry.call.sink.end_call(entry.call, Status.INTERNAL, BUG)
            return
        for entry in group:
            self._run_alone(entry.call)

    def _group(self, waiting: Sequence[Entry], begin: int) -> list[Entry]:
        """Return the next calls that run together: those of one role, up to a number of rows."""
        first = waiting[begin]
        group = [first]
        rows, most = first.reading.plan.rows, self._model.pace.rows_in_time
        for entry in waiting[begin + 1 : begin + self._most]:
            rows += entry.reading.plan.rows
            if entry.role is not first.role or rows > most:
                break
            group.append(entry)
        return group

    def _answer(self, group: Sequence[Entry]) -> bool:
        """Answer calls by one run; return False, and nothing is done, if that cannot be."""
        readings = [entry.reading for entry in group]
        counts = [reading.plan.rows for reading in readings]
        rows = sum(counts)
        if self._model.pace.is_slow(rows):
            return False
        times = [perf_counter()]
        feeds = grpc_raw.feeds(readings)
        times.append(perf_counter())
        try:
            arrays = self._model.inference.model.run(feeds, self._model.names, rows)
        except ModelyardError:
            return False
        times.append(perf_counter())
        if any(len(array) != rows for array in arrays):
            return False
        scores = arrays[self._model.score]
        ids = [entry.sample_id or entry.reading.id for entry in group]
        if self._papers.enabled:
            self._add_receipts(group, ids, counts, arrays)
        for entry, message in zip(group, self._writer.write(arrays, readings), strict=True):
            entry.call.sink.answer_counted(entry.call, message)
        times.append(perf_counter())
        self._count(group, counts, times)
        record = self._model.inference.recorder.record_batch
        record(group[0].role, rows, len(group), feeds, scores, ids, counts)
        return True

    def _add_receipts(
        self,
        group: Sequence[Entry],
        ids: Sequence[str | None],
        counts: Sequence[int],
        arrays: Sequence[Array],
    ) -> None:
        """Give each call's answer its receipt; `arrays` are all outputs, of all their rows."""
        receipts = self._papers.write_each(
            self._model.inference,
            ids,
            counts,
            arrays[self._model.score],
            self._writer.elements(arrays, counts),
        )
        for entry, receipt in zip(group, receipts, strict=True):
            entry.call.headers = grpc_status.field(RECEIPT, receipt)

    def _count(self, group: Sequence[Entry], counts: Sequence[int], times: Sequence[float]) -> None:
        """Count a run: `counts` are the rows of each call, `times` those between its stages."""
        rows = sum(counts)
        starts = [entry.call.begun for entry in group]
        self._model.inference.statistics.answered_together(starts, rows, times)
        self._metrics.answered_together(group[0].role, starts, times[-1], rows)
