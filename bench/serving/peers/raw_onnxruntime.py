"""How fast onnxruntime is with nothing around it: one thread, inputs ready, no copies.

    python raw_onnxruntime.py MODEL INPUTS.npy SECONDS

`INPUTS.npy` holds [distinct inputs, rows, features]; prints runs a second.
"""

import sys
import time

import numpy as np
import onnxruntime

CHUNK = 64


def main() -> None:
    model, path, seconds = sys.argv[1:]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    (source,) = session.get_inputs()
    feeds = [{source.name: np.ascontiguousarray(rows)} for rows in np.load(path)]
    bound = getattr(session, "_sess", None)  # spares what the Python layer adds to each run
    run = bound.run if bound is not None else session.run
    for feed in feeds * 4:
        run(names, feed, None)
    count = 0
    began = time.perf_counter()
    until = began + float(seconds)
    while (now := time.perf_counter()) < until:
        for number in range(count, count + CHUNK):
            run(names, feeds[number % len(feeds)], None)
        count += CHUNK
    print(count / (now - began))


if __name__ == "__main__":
    main()
