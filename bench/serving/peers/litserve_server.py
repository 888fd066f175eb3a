"""An ONNX model behind LitServe, one API server and one worker."""

import os
from typing import Any

import litserve
import numpy as np
import onnxruntime


class OnnxModel(litserve.LitAPI):
    def setup(self, device: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["BENCH_MODEL"], options)
        self.input = self.session.get_inputs()[0].name

    def decode_request(self, request: dict[str, Any]) -> np.ndarray:
        return np.array(request["x"], dtype=np.float32)

    def predict(self, rows: np.ndarray) -> list[np.ndarray]:
        results: list[np.ndarray] = self.session.run(None, {self.input: rows})
        return results

    def encode_response(self, results: list[np.ndarray]) -> dict[str, Any]:
        label, probabilities = results
        return {"label": label.tolist(), "probabilities": probabilities.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(
        OnnxModel(api_path="/v2/models/iris/infer"),
        accelerator="cpu",
        devices=1,
        workers_per_device=1,
    )
    server.run(
        host="127.0.0.1",
        port=int(os.environ["BENCH_PORT"]),
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
    )
