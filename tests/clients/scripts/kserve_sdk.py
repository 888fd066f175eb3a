"""The KServe SDK's clients against a server: `kserve_sdk.py rest|grpc ADDRESS case…`."""

import asyncio
import json
import sys
from functools import partial
from typing import Any

import numpy as np
from cases import BINARY_ZOO, HALVES, MODEL, ZOO, same, told
from kserve import (
    InferenceGRPCClient,
    InferenceRESTClient,
    InferInput,
    InferRequest,
    RESTConfig,
)
from kserve.protocol.infer_type import RequestedOutput

transport, address, *wanted = sys.argv[1:]
REST = transport == "rest"


def tensor(name: str, array: np.ndarray, binary: bool) -> InferInput:
    made = InferInput(f"x_{name}", list(array.shape), name)
    made.set_data_from_numpy(array, binary_data=binary)
    return made


def request(arrays: dict[str, np.ndarray], binary: bool, model: str = MODEL) -> InferRequest:
    inputs = [tensor(name, array, binary) for name, array in arrays.items()]
    outputs = [RequestedOutput(f"y_{name}", {"binary_data": binary}) for name in arrays]
    return InferRequest(
        model_name=model, infer_inputs=inputs, request_id="a-7", request_outputs=outputs
    )


async def infer(client: Any, sent: InferRequest) -> Any:
    return await (
        client.infer(address, sent, model_name=sent.model_name) if REST else client.infer(sent)
    )


async def echo(client: Any, arrays: dict[str, np.ndarray], binary: bool) -> list[str]:
    """Send arrays and name those that came back changed."""
    response = await infer(client, request(arrays, binary))
    if response.id != "a-7":
        raise ValueError(f"the answer's id is {response.id!r}")
    found = {output.name: output.as_numpy() for output in response.outputs}
    return [name for name in arrays if not same(arrays[name], found.get(f"y_{name}"))]


async def health(client: Any) -> Any:
    where = (address,) if REST else ()
    return [
        await client.is_server_live(*where),
        await client.is_server_ready(*where),
        await client.is_model_ready(*where, MODEL),
    ]


async def refused(client: Any, sent: InferRequest) -> str:
    try:
        await infer(client, sent)
    except Exception as error:  # noqa: BLE001 - also the wrong kind is a finding
        answer = getattr(error, "response", None)
        said = json.loads(answer.text) if answer is not None else getattr(error, "details", str)()
        return f"{type(error).__name__}: {said}"
    return "taken"


CASES = {
    "health": health,
    "json": lambda client: echo(client, ZOO, False),
    "binary": lambda client: echo(client, BINARY_ZOO, True),
    "halves": lambda client: echo(client, HALVES, True),
    "unknown model": lambda client: refused(client, request(ZOO, False, model="another")),
    "wrong shape": lambda client: refused(
        client, request({**ZOO, "INT8": ZOO["INT8"][:, :1]}, False)
    ),
}


async def main() -> None:
    rest = RESTConfig(protocol="v2", retries=1)
    client = InferenceRESTClient(rest) if REST else InferenceGRPCClient(address, retries=0)
    try:
        await told({name: partial(CASES[name], client) for name in wanted})
    finally:
        await client.close()


asyncio.run(main())
