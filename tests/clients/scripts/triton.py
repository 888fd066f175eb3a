"""tritonclient against a server: `triton.py http|http.aio|grpc|grpc.aio HOST:PORT case…`.

The model `zoo` has an input `x_<DATATYPE>` and an output `y_<DATATYPE>` for each datatype, and
answers what it is given.
"""

import asyncio
import importlib
import inspect
import sys
from typing import Any

import ml_dtypes
import numpy as np
from cases import BINARY_ZOO, HALVES, MODEL, ZOO, as_bytes, same, told

transport, url, *wanted = sys.argv[1:]
library = importlib.import_module(f"tritonclient.{transport}")
HTTP = transport.startswith("http")
connection: list[Any] = []
"""The client, made where its event loop runs."""


async def call(verb: str, *arguments: Any, **named: Any) -> Any:
    """Call the client, which is synchronous or not."""
    found = getattr(connection[0], verb)(*arguments, **named)
    return await found if inspect.isawaitable(found) else found


def tensor(datatype: str, array: np.ndarray, binary: bool) -> Any:
    """Return an input; gRPC knows no other form than binary."""
    made = library.InferInput(f"x_{datatype}", list(array.shape), datatype)
    made.set_data_from_numpy(array, **({"binary_data": binary} if HTTP else {}))
    return made


def asked(datatype: str, binary: bool) -> Any:
    """Return a requested output."""
    return library.InferRequestedOutput(
        f"y_{datatype}", **({"binary_data": binary} if HTTP else {})
    )


async def echo(
    arrays: dict[str, np.ndarray], sent: set[str], got: set[str] | None, **named: Any
) -> list[str]:
    """Send arrays, some as binary tensors, ask for some so, and name those that came back changed."""
    outputs = None if got is None else [asked(name, name in got) for name in arrays]
    inputs = [tensor(name, array, name in sent) for name, array in arrays.items()]
    result = await call("infer", MODEL, inputs, outputs=outputs, **named)
    return [name for name in arrays if not same(arrays[name], result.as_numpy(f"y_{name}"))]


async def metadata() -> Any:
    named = {} if HTTP else {"as_json": True}
    server = await call("get_server_metadata", **named)
    model = await call("get_model_metadata", MODEL, **named)
    return {
        "server": server["name"],
        "extensions": server.get("extensions", []),
        "platform": model["platform"],
        "inputs": {
            t["name"]: [t["datatype"], [int(n) for n in t["shape"]]] for t in model["inputs"]
        },
        "outputs": [t["name"] for t in model["outputs"]],
    }


async def health() -> Any:
    return [
        await call("is_server_live"),
        await call("is_server_ready"),
        await call("is_model_ready", MODEL),
        await call("is_model_ready", MODEL, "1"),
        await call("is_model_ready", "another"),
    ]


async def identified() -> Any:
    inputs = [tensor(name, array, False) for name, array in ZOO.items()]
    outputs = [asked("INT64", False), asked("BYTES", False)]
    result = await call(
        "infer", MODEL, inputs, outputs=outputs, request_id="a-7", model_version="1"
    )
    response = result.get_response() if HTTP else result.get_response(as_json=True)
    return {
        "id": response["id"],
        "model": [response["model_name"], response["model_version"]],
        "outputs": [found["name"] for found in response["outputs"]],
        "text": [as_bytes(cell).decode() for cell in result.as_numpy("y_BYTES").flat],
    }


async def refused(**change: Any) -> str:
    """Send a request with a mistake and return what the client makes of the answer."""
    model = change.get("model", MODEL)
    arrays = {**ZOO, **change.get("arrays", {})}
    try:
        inputs = [tensor(name, array, False) for name, array in arrays.items()]
        await call("infer", model, inputs, outputs=[asked("INT8", False)])
    except Exception as error:  # noqa: BLE001 - also the wrong kind is a finding
        return f"{type(error).__name__}: {error}"
    return "taken"


async def statistics() -> Any:
    named = {} if HTTP else {"as_json": True}
    found = await call("get_inference_statistics", MODEL, **named)
    return [[one["name"], int(one["inference_count"]) > 0] for one in found["model_stats"]]


EVERY = set(BINARY_ZOO)
ALL_HALVES = {**HALVES, "BF16": np.array([[0.5, -3.0], [np.inf, 1e38]], ml_dtypes.bfloat16)}
PACKED = {"compression_algorithm": "gzip"}
if HTTP:
    PACKED = {"request_compression_algorithm": "gzip", "response_compression_algorithm": "gzip"}
DEFLATED = {name: "deflate" for name in PACKED}
CASES = {
    "health": health,
    "metadata": metadata,
    "json": lambda: echo(ZOO, set(), set()),
    "binary": lambda: echo(BINARY_ZOO, EVERY, EVERY),
    "default": lambda: echo(BINARY_ZOO, EVERY, None),
    "halves": lambda: echo(ALL_HALVES, set(ALL_HALVES), set(ALL_HALVES)),
    "mixed": lambda: echo(ZOO, {"INT64", "BYTES"}, {"BOOL", "BYTES", "FP64"}),
    "gzip": lambda: echo(ZOO, set(), set(), **PACKED),
    "deflate": lambda: echo(ZOO, set(), set(), **DEFLATED),
    "binary gzip": lambda: echo(BINARY_ZOO, EVERY, EVERY, **PACKED),
    "empty": lambda: echo({n: a[:0] for n, a in ZOO.items()}, set(), set()),
    "identified": identified,
    "unknown model": lambda: refused(model="another"),
    "wrong shape": lambda: refused(arrays={"INT8": ZOO["INT8"][:, :1]}),
    "one row less": lambda: refused(arrays={"INT8": ZOO["INT8"][:1]}),
    "statistics": statistics,
}


async def main() -> None:
    connection.append(library.InferenceServerClient(url))
    try:
        await told({name: CASES[name] for name in wanted})
    finally:
        await call("close")


asyncio.run(main())
