"""An ONNX model behind the KServe SDK's model server, with its logs for each request off."""

import logging
import os

import numpy as np
import onnxruntime
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer

TYPES = {"float32": "FP32", "int64": "INT64"}


class OnnxModel(Model):
    def load(self) -> bool:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["BENCH_MODEL"], options)
        self.input = self.session.get_inputs()[0].name
        self.outputs = [output.name for output in self.session.get_outputs()]
        self.ready = True
        return True

    def predict(
        self,
        payload: InferRequest,
        headers: dict[str, str] | None = None,
        response_headers: dict[str, str] | None = None,
    ) -> InferResponse:
        rows = payload.inputs[0].as_numpy().astype(np.float32, copy=False)
        results = self.session.run(self.outputs, {self.input: rows})
        outputs = []
        for name, array in zip(self.outputs, results, strict=True):
            output = InferOutput(
                name=name, shape=list(array.shape), datatype=TYPES[array.dtype.name]
            )
            output.set_data_from_numpy(array, binary_data=False)
            outputs.append(output)
        return InferResponse(
            response_id=payload.id or "none", model_name=self.name, infer_outputs=outputs
        )


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    model = OnnxModel("iris")
    model.load()
    ModelServer(
        http_port=int(os.environ["BENCH_PORT"]),
        grpc_port=int(os.environ["BENCH_GRPC_PORT"]),
        workers=1,
        enable_latency_logging=False,
    ).start([model])
