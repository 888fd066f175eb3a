"""The serving room: an Open Inference Protocol server for one verified ONNX model.

The path of one request:

    http_protocol   bytes of a connection, bounded in size and time
    app             the route, the role, the metrics
    request_body    the body, bounded and unpacked
    protocol        JSON to a request, whatever the model
    contract        the request to arrays that this model takes, by codec
    model           the arrays through onnxruntime, here or in a thread (workers)
    protocol        the outputs to JSON, by codec
    recorder        the rows counted over the profile's bins, later

`inference` strings the middle together and knows no HTTP.  Before all that, `fetch` brings the
verified bundle into the pod, `loading` opens it, and `proof` runs it; `gate` says whether anything
may be answered, `server` drains.
"""

import os

from modelyard_serving.deferred import defer

# The products here are small.  Threads of numpy's, one for each processor of the node, would wait
# for each other in a pod that may use few of them, and the event loop for all of them.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # noqa: TID251 - told to numpy, not read

defer("uvicorn", {"Config": "uvicorn.config", "Server": "uvicorn.server"})
