"""The gRPC service as one would write it: grpc.aio on uvloop, raw tensors."""

import os

import grpc
import numpy as np
import onnxruntime
import uvloop

from modelyard_serving.grpc_wire import inference_pb2 as wire

TYPES = {"float32": "FP32", "int64": "INT64"}


class Service:
    def __init__(self, path: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options)
        (source,) = self.session.get_inputs()
        self.source = source.name
        self.names = [output.name for output in self.session.get_outputs()]

    async def infer(self, request: wire.ModelInferRequest, _: object) -> wire.ModelInferResponse:
        tensor = request.inputs[0]
        rows = np.frombuffer(request.raw_input_contents[0], np.float32)
        results = self.session.run(self.names, {self.source: rows.reshape(tuple(tensor.shape))})
        return wire.ModelInferResponse(
            model_name=request.model_name,
            id=request.id,
            outputs=[
                wire.ModelInferResponse.InferOutputTensor(
                    name=name, datatype=TYPES[array.dtype.name], shape=array.shape
                )
                for name, array in zip(self.names, results, strict=True)
            ],
            raw_output_contents=[array.tobytes() for array in results],
        )


async def serve() -> None:
    service = Service(os.environ["BENCH_MODEL"])
    handler = grpc.unary_unary_rpc_method_handler(
        service.infer,
        request_deserializer=wire.ModelInferRequest.FromString,
        response_serializer=wire.ModelInferResponse.SerializeToString,
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(
                "inference.GRPCInferenceService", {"ModelInfer": handler}
            ),
        )
    )
    server.add_insecure_port(f"127.0.0.1:{os.environ['BENCH_GRPC_PORT']}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(serve())
