"""The model's outputs as columns: one for each output, a list in each row where it has several."""

from math import prod

import numpy as np
import pyarrow as pa

from modelyard_core.signature import Tensor
from modelyard_serving.codec import Array
from modelyard_serving.errors import ModelFailed

KINDS = {
    "BOOL": pa.bool_(),
    "UINT8": pa.uint8(),
    "UINT16": pa.uint16(),
    "UINT32": pa.uint32(),
    "UINT64": pa.uint64(),
    "INT8": pa.int8(),
    "INT16": pa.int16(),
    "INT32": pa.int32(),
    "INT64": pa.int64(),
    "FP16": pa.float16(),
    "BF16": pa.float32(),
    "FP32": pa.float32(),
    "FP64": pa.float64(),
    "BYTES": pa.string(),
}
"""Parquet knows no BF16; FP32 holds each of its values."""


def field_of(tensor: Tensor) -> pa.Field:
    """Return the column of an output: fixed sizes become lists of that size."""
    kind = KINDS[tensor.datatype]
    inner = tensor.shape[1:]
    if inner and inner != (1,):
        kind = pa.list_(kind, prod(inner)) if -1 not in inner else pa.list_(kind)
    return pa.field(tensor.name, kind, nullable=False)


def column_of(tensor: Tensor, arrays: list[Array], rows: int) -> pa.Array:
    """Return the column of an output that was computed in several runs.

    Raises:
        ModelFailed: the model did not answer each row.
    """
    found = sum(len(array) if array.ndim else 0 for array in arrays)
    if found != rows:
        raise ModelFailed(f"the model answers {rows} rows with {found} of output {tensor.name!r}")
    kind = field_of(tensor).type
    if pa.types.is_list(kind):
        return pa.array([row.reshape(-1).tolist() for array in arrays for row in array], kind)
    flat = np.concatenate([array.reshape(-1) for array in arrays])
    if tensor.datatype == "BF16":
        flat = flat.astype(np.float32)
    if pa.types.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(pa.array(flat, kind.value_type), type=kind)
    return pa.array(flat, kind)
