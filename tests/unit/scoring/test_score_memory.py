"""Memory does not grow with the file."""

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from onnx import TensorProto, helper

from modelyard_core.signature import Signature, Tensor
from support import bundles, onnx_models, scoring

WIDTH = 64
GROUP = 20_000
MEASURED = """
import sys, tracemalloc
import pyarrow
from modelyard_serving.score.__main__ import main
tracemalloc.start()
try:
    main(sys.argv[1:])
finally:
    print(pyarrow.default_memory_pool().max_memory() + tracemalloc.get_traced_memory()[1])
"""


def write_groups(path, groups):
    """Write row groups of 64 small numbers a row."""
    kind = pa.list_(pa.float32(), WIDTH)
    flat = np.tile(np.arange(100, dtype=np.float32), GROUP * WIDTH // 100)
    table = pa.table({"x": pa.FixedSizeListArray.from_arrays(pa.array(flat), type=kind)})
    with pyarrow.parquet.ParquetWriter(path, table.schema) as writer:
        for _ in range(groups):
            writer.write_table(table)


def peak(tmp_path, bundle, groups):
    """Return how much a run over so many row groups asked for at most at one time, in bytes.

    By Arrow, Python and NumPy; what allocators keep of what was freed is another thing each time.
    """
    path = tmp_path / f"rows-{groups}.parquet"
    write_groups(path, groups)
    made = scoring.Scoring(tmp_path, bundle, path, ["--workers", "1"], name=f"out-{groups}")
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *made.command()],
        capture_output=True,
        text=True,
        check=True,
    )
    assert made.manifest()["rows"] == groups * GROUP
    return int(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_ten_times_the_rows_need_no_more_memory(tmp_path):
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    node = helper.make_node("ReduceSum", ["x", "axes"], ["y"])
    tensors = Tensor("x", "FP32", (-1, WIDTH)), Tensor("y", "FP32", (-1, 1))
    named = [[(tensor.name, tensor.datatype, tensor.shape)] for tensor in tensors]
    model = onnx_models.build([node], *named, [axes])
    signature = Signature("Regression", tensors[:1], tensors[1:], score="y")
    bundle = bundles.write(tmp_path / "model", model, signature, onnx_models.EMPTY_PROFILE)

    few, many = peak(tmp_path, bundle, 6), peak(tmp_path, bundle, 60)

    added = 54 * GROUP * WIDTH * 4
    assert many - few < added / 4
