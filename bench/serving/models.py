"""The models under test, made anew each time and always the same, and their bundles.

Each takes one FP32 matrix, since that is what every peer takes, and gives `label` and
`probabilities`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pandas as pd
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bench.serving.requests import INPUT, Question
from modelyard_core import bundle, codec
from modelyard_core.canonical import canonical_json, digest_bytes
from modelyard_core.runs import Feature
from modelyard_core.signature import Signature, Tensor
from modelyard_training.reference import build_profile

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from bench.serving.requests import Floats
    from modelyard_core.reference import Profile

OPSET = {"": 18, "ai.onnx.ml": 3}
MADE_AT = datetime(2026, 1, 1, tzinfo=UTC)
SLOW_SIZE = 512
SLOW_STEPS = 6
"""Products of two square matrices of that size: some tens of milliseconds on one core."""


@dataclass(frozen=True, slots=True)
class Model:
    """A bundle on disk and the rows that it is asked about."""

    name: str
    folder: Path
    digest: str
    rows: Floats
    """Two axes: rows and features."""

    @property
    def onnx(self) -> Path:
        """The file that every peer opens."""
        return self.folder / bundle.MODEL


@dataclass(frozen=True, slots=True)
class Recipe:
    """A model before it is written."""

    name: str
    onnx: bytes
    rows: Floats
    classes: tuple[str, ...]
    sketched: bool = True
    """Whether the profile has a column for each feature."""


def iris(folder: Path) -> Model:
    """Write the small model: four features, scaled, logistic regression."""
    return write(folder, _iris())


def iris_without_columns(folder: Path) -> Model:
    """Write the small model with a profile that has nothing but the score."""
    return write(folder, replace(_iris(), sketched=False))


def _iris() -> Recipe:
    data, labels = load_iris(return_X_y=True)
    fitted = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(data, labels)
    return _converted("iris", fitted, data, 3)


def forest(folder: Path) -> Model:
    """Write the larger model: thirty features, a random forest of a hundred trees."""
    data, labels = load_breast_cancer(return_X_y=True)
    fitted = RandomForestClassifier(100, random_state=0, n_jobs=1).fit(data, labels)
    return write(folder, _converted("forest", fitted, data, 2))


def slow(folder: Path) -> Model:
    """Write a model whose every run takes some tens of milliseconds."""
    rows = np.ones((8, 4), dtype=np.float32)
    return write(folder, Recipe("slow", _slow_onnx(), rows, ("no", "yes")))


def _converted(name: str, fitted: Any, data: Any, classes: int) -> Recipe:  # noqa: ANN401 - sklearn carries no types
    rows = data.astype(np.float32)
    model = to_onnx(
        fitted,
        rows[:1],
        name=name,
        options={id(fitted): {"zipmap": False}},
        target_opset=OPSET,
    )
    return Recipe(
        name, model.SerializeToString(), rows, tuple(str(number) for number in range(classes))
    )


def _slow_onnx() -> bytes:
    """Return a chain of matrix products that depends on the input and keeps its values small."""
    dice = np.random.default_rng(0)
    square = dice.random((SLOW_SIZE, SLOW_SIZE), dtype=np.float32) / np.float32(SLOW_SIZE)
    constants: dict[str, Floats] = {
        "square": square,
        "half": np.full((1, 2), 0.5, dtype=np.float32),
        "zero": np.zeros((1,), dtype=np.float32),
    }
    steps = [
        helper.make_node("ReduceSum", [INPUT], ["sum"], keepdims=0),
        helper.make_node("Mul", ["square", "sum"], ["step0"]),
        *(
            helper.make_node("MatMul", [f"step{number}", "square"], [f"step{number + 1}"])
            for number in range(SLOW_STEPS)
        ),
        helper.make_node("ReduceSum", [f"step{SLOW_STEPS}"], ["total"], keepdims=0),
        helper.make_node("Mul", ["total", "zero"], ["nothing"]),
        helper.make_node("ReduceMean", [INPUT], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Mul", ["mean", "zero"], ["column"]),
        helper.make_node("Add", ["column", "half"], ["halves"]),
        helper.make_node("Add", ["halves", "nothing"], ["probabilities"]),
        helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0),
    ]
    graph = helper.make_graph(
        steps,
        "slow",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [None, 4])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, [None]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2]),
        ],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    return bytes(model.SerializeToString())


def write(folder: Path, recipe: Recipe) -> Model:
    """Write a bundle as a training would, and return it."""
    width = recipe.rows.shape[1]
    signature = Signature(
        task="Classification",
        inputs=(Tensor(INPUT, "FP32", (-1, width)),),
        outputs=(
            Tensor("label", "INT64", (-1,)),
            Tensor("probabilities", "FP32", (-1, len(recipe.classes))),
        ),
        classes=recipe.classes,
        score="probabilities",
    )
    _, probabilities = answers(recipe.onnx, recipe.rows)
    columns = recipe.rows if recipe.sketched else recipe.rows[:, :0]
    files = {
        bundle.MODEL: recipe.onnx,
        bundle.SIGNATURE: canonical_json(codec.encode(signature)),
        bundle.PROFILE: canonical_json(codec.encode(profile_of(columns, probabilities))),
    }
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    manifest = canonical_json(codec.encode(_manifest(recipe.name, files)))
    (folder / bundle.MANIFEST).write_bytes(manifest)
    return Model(recipe.name, folder, digest_bytes(manifest), recipe.rows)


def _manifest(name: str, files: dict[str, bytes]) -> bundle.Manifest:
    return bundle.Manifest(
        schema_version=1,
        training=name,
        run=f"{name}-0a1b2c3d",
        run_key="sha256:00",
        content_key="sha256:01",
        data_digest="sha256:02",
        verdict="Blessed",
        created_at=MADE_AT,
        files=tuple(
            bundle.BundleFile(path, len(data), hashlib.sha256(data).hexdigest())
            for path, data in sorted(files.items())
        ),
    )


def profile_of(rows: Floats, probabilities: Floats) -> Profile:
    """Return the profile of the rows as a training makes it: with bins, moments and Fourier sums."""
    scores = probabilities[:, -1] if probabilities.shape[1] == 2 else probabilities.max(axis=1)
    names = [f"feature {index}" for index in range(rows.shape[1])]
    features = tuple(Feature(name, "Float") for name in names)
    made = build_profile(features, pd.DataFrame(rows, columns=names), scores)
    placed = (
        replace(column, input=INPUT, index=index) for index, column in enumerate(made.numeric)
    )
    return replace(made, numeric=tuple(placed))


def questions(model: Model, batch: int, count: int) -> list[Question]:
    """Return questions of so many rows each, spread over the model's rows."""
    onnx, made = model.onnx.read_bytes(), []
    for number in range(count):
        places = (np.arange(batch) * 7 + number * 11) % len(model.rows)
        rows = np.ascontiguousarray(model.rows[places])
        made.append(Question(f"row-{number:04d}", rows, *answers(onnx, rows)))
    return made


def answers(onnx: bytes, rows: Floats) -> tuple[npt.NDArray[np.int64], Floats]:
    """Return labels and probabilities of rows, from onnxruntime itself."""
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    label, probabilities = session.run(["label", "probabilities"], {INPUT: rows})
    return label, probabilities
