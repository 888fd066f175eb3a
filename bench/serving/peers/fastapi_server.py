"""The same protocol as one would write it: FastAPI, pydantic, uvloop, httptools, no access log."""

import os
from typing import Any

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

TYPES = {"FP32": np.float32, "FP64": np.float64, "INT64": np.int64}
NAMES = {"float32": "FP32", "int64": "INT64"}


class RequestTensor(BaseModel):
    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, Any] | None = None
    data: list[Any]


class Request(BaseModel):
    id: str | None = None
    parameters: dict[str, Any] | None = None
    inputs: list[RequestTensor]


class ResponseTensor(BaseModel):
    name: str
    shape: list[int]
    datatype: str
    data: list[Any]


class Response(BaseModel):
    model_name: str
    id: str | None = None
    outputs: list[ResponseTensor]


def create_app(path: str) -> FastAPI:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options)
    (source,) = session.get_inputs()
    names = [output.name for output in session.get_outputs()]
    app = FastAPI()

    @app.post("/v2/models/{name}/infer")
    async def infer(name: str, request: Request) -> Response:
        tensor = request.inputs[0]
        rows = np.array(tensor.data, dtype=TYPES[tensor.datatype]).reshape(tensor.shape)
        outputs = [
            ResponseTensor(
                name=output,
                shape=list(array.shape),
                datatype=NAMES[array.dtype.name],
                data=array.ravel().tolist(),
            )
            for output, array in zip(names, session.run(names, {source.name: rows}), strict=True)
        ]
        return Response(model_name=name, id=request.id, outputs=outputs)

    return app


if __name__ == "__main__":
    uvicorn.run(
        create_app(os.environ["BENCH_MODEL"]),
        host="127.0.0.1",
        port=int(os.environ["BENCH_PORT"]),
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
    )
