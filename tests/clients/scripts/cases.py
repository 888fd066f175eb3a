"""What every client sends, and how it says what came back."""

import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np

MODEL = "rain"
"""The name that the tests serve every model under."""

ZOO = {
    "BOOL": np.array([[True, False], [False, True]]),
    "UINT8": np.array([[0, 255], [1, 2]], np.uint8),
    "UINT16": np.array([[0, 65535], [1, 2]], np.uint16),
    "UINT32": np.array([[0, 2**32 - 1], [1, 2]], np.uint32),
    "UINT64": np.array([[0, 2**64 - 1], [2**53 + 1, 2]], np.uint64),
    "INT8": np.array([[-128, 127], [0, -1]], np.int8),
    "INT16": np.array([[-32768, 32767], [0, -1]], np.int16),
    "INT32": np.array([[-(2**31), 2**31 - 1], [0, -1]], np.int32),
    "INT64": np.array([[-(2**63), 2**63 - 1], [2**53 + 1, -1]], np.int64),
    "FP32": np.array([[0.1, -0.0], [3.4028235e38, 1e-45]], np.float32),
    "FP64": np.array([[0.1, -0.0], [1.7976931348623157e308, 5e-324]], np.float64),
    "BYTES": np.array([["", "Zürich"], ['"\\\n', "日本"]], object),
}
"""Two rows of two for each datatype that JSON can carry: the edges of what it can hold."""

BINARY_ZOO = {**ZOO, "FP32": np.array([[0.1, -0.0], [np.inf, np.nan]], np.float32)}
"""The same with what only a binary tensor can carry."""

HALVES = {"FP16": np.array([[0.1, -65504.0], [np.inf, np.nan]], np.float16)}
"""What has no form in JSON at all."""


def same(sent: np.ndarray, got: np.ndarray | None) -> bool:
    """Tell whether every bit came back; text counts as its UTF-8."""
    if got is None or sent.shape != got.shape:
        return False
    if sent.dtype == object:
        return [as_bytes(cell) for cell in sent.flat] == [as_bytes(cell) for cell in got.flat]
    return sent.dtype == got.dtype and sent.tobytes() == got.tobytes()


def as_bytes(cell: str | bytes) -> bytes:
    return cell.encode() if isinstance(cell, str) else bytes(cell)


async def told(cases: dict[str, Callable[[], Awaitable[Any]]]) -> None:
    """Run the cases one after the other and print what each says, or how it failed."""
    results: dict[str, Any] = {}
    for name, case in cases.items():
        try:
            results[name] = await case()
        except Exception as error:  # noqa: BLE001 - whatever a client raises is the result
            results[name] = {"error": f"{type(error).__name__}: {error}"}
    json.dump(results, sys.stdout)
