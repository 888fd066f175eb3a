"""An ONNX model as a BentoML service with one worker, its access log off."""

import logging
import os

import bentoml
import numpy as np

logging.disable(logging.WARNING)


@bentoml.service(traffic={"timeout": 30}, workers=1, logging={"access": {"enabled": False}})
class Iris:
    def __init__(self) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["BENCH_MODEL"], options)
        self.input = self.session.get_inputs()[0].name

    @bentoml.api(route="/v2/models/iris/infer")
    def predict(self, x: np.ndarray) -> np.ndarray:
        rows = np.asarray(x, dtype=np.float32)
        probabilities: np.ndarray = self.session.run(["probabilities"], {self.input: rows})[0]
        return probabilities
