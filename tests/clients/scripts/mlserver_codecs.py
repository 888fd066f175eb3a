"""MLServer's codecs around a plain HTTP client and its gRPC stub: `… URL GRPC_ADDRESS case…`.

MLServer has no client of its own: people build its requests with its codecs and post them, as its
own tests do.  `zoo` echoes every datatype, `sum` adds three INT32 of `input-0`, `rain` takes a
column for each feature.
"""

import asyncio
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pandas as pd
from cases import MODEL, ZOO, same, told
from mlserver.codecs import NumpyCodec, NumpyRequestCodec, PandasCodec, StringCodec
from mlserver.grpc.converters import ModelInferRequestConverter, ModelInferResponseConverter
from mlserver.grpc.dataplane_pb2_grpc import GRPCInferenceServiceStub
from mlserver.types import (
    Datatype,
    InferenceRequest,
    InferenceResponse,
    MetadataModelResponse,
    MetadataServerResponse,
    RequestInput,
    RequestOutput,
)

url, grpc_address, *wanted = sys.argv[1:]


def get(path: str) -> bytes:
    with urllib.request.urlopen(url + path) as answer:
        return answer.read()


def infer(request: InferenceRequest, model: str = MODEL) -> InferenceResponse:
    body = request.model_dump_json(exclude_none=True).encode()
    sent = urllib.request.Request(
        f"{url}/v2/models/{model}/infer", body, {"content-type": "application/json"}
    )
    with urllib.request.urlopen(sent) as answer:
        return InferenceResponse.model_validate_json(answer.read())


def infer_grpc(request: InferenceRequest) -> InferenceResponse:
    sent = ModelInferRequestConverter.from_types(request, model_name=MODEL, model_version=None)
    with grpc.insecure_channel(grpc_address) as channel:
        answer = GRPCInferenceServiceStub(channel).ModelInfer(sent)
    return ModelInferResponseConverter.to_types(answer)


async def metadata() -> Any:
    server = MetadataServerResponse.model_validate_json(get("/v2"))
    model = MetadataModelResponse.model_validate_json(get(f"/v2/models/{MODEL}"))
    return [server.name, model.name, model.platform, len(model.inputs), len(model.outputs)]


async def codecs(send: Callable[[InferenceRequest], InferenceResponse]) -> list[str]:
    """Send every datatype as the codecs write it and name what came back changed."""
    inputs = [
        StringCodec.encode_input(f"x_{name}", [str(cell) for cell in array.flat])
        if name == "BYTES"
        else NumpyCodec.encode_input(f"x_{name}", array)
        for name, array in ZOO.items()
    ]
    for tensor in inputs:
        tensor.shape = [2, 2]
    response = send(InferenceRequest(id="a-7", inputs=inputs))
    if response.id != "a-7":
        raise ValueError(f"the answer's id is {response.id!r}")
    return [output.name for output in response.outputs if not came_back(output)]


def came_back(output: Any) -> bool:
    sent = ZOO[output.name.removeprefix("y_")]
    if Datatype(output.datatype) == Datatype.BYTES:
        return StringCodec.decode_output(output) == list(sent.flat)
    return same(sent, NumpyCodec.decode_output(output))


async def one_tensor() -> Any:
    """Send the request of MLServer's own tests: three integers, flat, in a row."""
    plain = RequestInput(name="input-0", shape=[1, 3], datatype="INT32", data=[1, 2, 3])
    request = InferenceRequest(
        id="my-test-id", inputs=[plain], outputs=[RequestOutput(name="total")]
    )
    response = infer(request)
    return [
        response.id,
        response.outputs[0].name,
        NumpyRequestCodec.decode_response(response).tolist(),
    ]


async def nested() -> Any:
    plain = RequestInput(
        name="input-0", shape=[2, 3], datatype="INT32", data=[[1, 2, 3], [4, 5, 6]]
    )
    return NumpyRequestCodec.decode_response(infer(InferenceRequest(inputs=[plain]))).tolist()


async def request_codec() -> Any:
    encoded = NumpyRequestCodec.encode_request(np.array([[1, 2, 3], [4, 5, 6]], np.int32))
    encoded.inputs[0].name = "input-0"
    return NumpyRequestCodec.decode_response(infer(encoded)).tolist()


async def pandas_rows() -> Any:
    frame = pd.DataFrame(
        {
            "temp": np.array([0.5, -2.0], np.float32),
            "wind": np.array([0.1, 0.2], np.float32),
            "station": ["north", "south"],
        }
    )
    response = infer(PandasCodec.encode_request(frame))
    return [output.name for output in response.outputs], response.outputs[0].data.root


async def invalid_datatype() -> str:
    wrong = {"name": "input-0", "shape": [1, 3], "datatype": "INT322", "data": [1, 2, 3]}
    request = InferenceRequest.model_construct(
        inputs=[RequestInput.model_construct(**wrong)], parameters=None, id=None, outputs=None
    )
    try:
        infer(request)
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read().decode()}"
    return "taken"


CASES = {
    "metadata": metadata,
    "codecs": lambda: codecs(infer),
    "codecs over gRPC": lambda: codecs(infer_grpc),
    "one tensor": one_tensor,
    "nested": nested,
    "request codec": request_codec,
    "pandas": pandas_rows,
    "invalid datatype": invalid_datatype,
}

asyncio.run(told({name: CASES[name] for name in wanted}))
