"""Rows a second of `modelyard-score` against a bare pandas and onnxruntime loop, in one run.

    python -m bench.batch_scoring

The loop is what people write: read the file with pandas, run the model on 4096 rows after the
other, write the predictions with pandas.  It checks nothing, keeps everything in memory, and gets
as many threads as the program.  Both are processes of their own, take turns, and are measured from
the first row to the last: without the imports, with reading and writing.  Peak memory is that of
the whole process.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "bench" / "results" / "batch_scoring.json"
BAR = 0.8
FEATURES = 8
GROUP = 100_000
MIB = 1 << 20

SAID = """
def say(rows, seconds, processor_seconds):
    status = open("/proc/self/status").read()
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    print(json.dumps([rows / seconds, rows / processor_seconds, peak]))
"""
OURS = f"""
import json, sys, time
import pandas  # which Arrow imports at its first array where it is installed; the image has none
from modelyard_serving.score import run, settings
{SAID}
told = settings.read_settings(sys.argv[1:])
used = time.process_time()
done = run.run(told)
say(done.rows, done.seconds, time.process_time() - used)
"""
BARE = f"""
import json, sys, time
import numpy as np, onnxruntime, pandas as pd

{SAID}
model, source, target, threads = sys.argv[1:]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(threads)
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
began, used = time.perf_counter(), time.process_time()
frame = pd.read_parquet(source)
names = [given.name for given in session.get_inputs()]
found = []
for start in range(0, len(frame), 4096):
    piece = frame[start : start + 4096]
    feeds = {{name: piece[name].to_numpy().reshape(-1, 1) for name in names}}
    found.append(session.run(["label", "probabilities"], feeds))
answer = pd.DataFrame({{"label": np.concatenate([label for label, _ in found])}})
answer["probability"] = np.concatenate([shares[:, 1] for _, shares in found])
answer.to_parquet(target)
say(len(frame), time.perf_counter() - began, time.process_time() - used)
"""


def main() -> None:
    """Measure, print a table and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("logistic", "boosted"):
            rows += measure(Path(folder, kind), kind, given.rows, given.rounds)
    for row in rows:
        print(
            f"{row['case']:<56} ours {row['ours']:>12,.0f}  bare {row['theirs']:>12,.0f} "
            f"{row['unit']:<7} ratio {row['ratio']:.2f} (bar {row['bar']})"
        )
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2) + "\n")
    print(f"written to {RESULTS.relative_to(ROOT)}")


def measure(folder: Path, kind: str, rows: int, rounds: int) -> list[dict[str, object]]:
    """Return rate and memory of both for one kind of model; each round runs both."""
    folder.mkdir()
    digest = make_bundle(folder / "model", kind)
    source = folder / "rows.parquet"
    make_rows(source, rows)
    taken: dict[str, list[list[float]]] = {"ours": [], "theirs": []}
    for number in range(rounds):
        ours = [
            *("--model", str(folder / "model"), "--digest", digest, "--workers", "1"),
            *("--in", str(source), "--out", str(folder / f"out-{number}")),
        ]
        bare = [str(folder / "model" / "model.onnx"), str(source), str(folder / "bare.parquet")]
        taken["ours"].append(run(OURS, *ours))
        taken["theirs"].append(run(BARE, *bare, "1"))
        print(f"{kind}: round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    middle = {
        who: [statistics.median(column) for column in zip(*pairs, strict=True)]
        for who, pairs in taken.items()
    }
    rate, cost, memory = middle["ours"]
    bare_rate, bare_cost, bare_memory = middle["theirs"]
    case = f"{kind}, batch 4096, one thread"
    return [
        row(f"{case}: rate", "rows/s", rate, bare_rate, rate / bare_rate, BAR),
        row(f"{case}: rate by processor time", "rows/s", cost, bare_cost, cost / bare_cost, None),
        row(f"{case}: peak", "MiB", memory, bare_memory, bare_memory / memory, None),
    ]


def row(
    case: str, unit: str, ours: float, theirs: float, ratio: float, bar: float | None
) -> dict[str, object]:
    """Return one line of the table; a ratio above one is in our favour."""
    against = "bare pandas + onnxruntime loop"
    return {
        "case": case,
        "against": against,
        "ours": round(ours),
        "theirs": round(theirs),
        "unit": unit,
        "ratio": round(ratio, 2),
        "bar": bar,
    }


def run(code: str, *arguments: str) -> list[float]:
    """Run one side in a process of its own.

    Returns rows a second, rows a second of processor time, and peak memory in MiB.
    """
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    said: list[float] = json.loads(done.stdout.splitlines()[-1])
    return said


def make_rows(path: Path, rows: int) -> None:
    """Write float features in row groups."""
    draw = np.random.default_rng(0)
    schema = pa.schema([(f"f{index}", pa.float32()) for index in range(FEATURES)])
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, GROUP):
            count = min(GROUP, rows - start)
            cells = [draw.normal(size=count).astype(np.float32) for _ in range(FEATURES)]
            writer.write_table(pa.table(cells, schema=schema))


def make_bundle(folder: Path, kind: str) -> str:
    """Fit a model, write its bundle and return the digest."""
    sys.path.insert(0, str(ROOT / "tests"))
    import pandas as pd
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    from modelyard_core.signature import Signature, Tensor
    from support import bundles, onnx_models

    names = [f"f{index}" for index in range(FEATURES)]
    draw = np.random.default_rng(1)
    frame = pd.DataFrame(draw.normal(size=(5000, FEATURES)).astype(np.float32), columns=names)
    target = (frame.to_numpy().sum(axis=1) + draw.normal(size=5000) > 0).astype(int)
    kinds = {"logistic": LogisticRegression(), "boosted": HistGradientBoostingClassifier()}
    pipeline = make_pipeline(ColumnTransformer([("all", "passthrough", names)]), kinds[kind])
    pipeline.fit(frame, target)
    types = [(name, FloatTensorType([None, 1])) for name in names]
    options = {id(pipeline): {"zipmap": False}}
    model = to_onnx(pipeline, initial_types=types, options=options, target_opset=17)
    signature = Signature(
        "Classification",
        tuple(Tensor(name, "FP32", (-1, 1)) for name in names),
        (Tensor("label", "INT64", (-1,)), Tensor("probabilities", "FP32", (-1, 2))),
        ("0", "1"),
        "probabilities",
    )
    return bundles.write(
        folder, model.SerializeToString(), signature, onnx_models.EMPTY_PROFILE
    ).digest


def machine() -> dict[str, object]:
    """Return what the numbers depend on."""
    packages = ("numpy", "onnxruntime", "pandas", "pyarrow", "scikit-learn")
    return {
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in packages},
    }


if __name__ == "__main__":
    main()
