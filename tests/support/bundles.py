"""Whole bundles on disk: the files, the manifest that lists them, and the digest."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from onnx import TensorProto, helper

from modelyard_core import bundle, codec
from modelyard_core.canonical import canonical_json, digest_bytes
from modelyard_core.reference import Profile
from modelyard_core.signature import Signature, Tensor
from support import onnx_models


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle in a folder."""

    folder: Path
    digest: str
    uri: str = ""


def write(
    folder: Path,
    model: bytes | None = None,
    signature: Signature = onnx_models.RAIN,
    profile: Profile = onnx_models.RAIN_PROFILE,
    more: dict[str, bytes] | None = None,
) -> Bundle:
    """Write a bundle into the folder; by default the rain classifier."""
    files = {
        bundle.MODEL: onnx_models.rain() if model is None else model,
        bundle.SIGNATURE: canonical_json(codec.encode(signature)),
        bundle.PROFILE: canonical_json(codec.encode(profile)),
        **(more or {}),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return write_manifest(folder, files)


def echo(folder, datatype, shape):
    """Write a bundle of a model that answers its one input, and a score of zero for each row."""
    varies = shape[:1] == (-1,)
    rows_of = helper.make_node("Gather", ["shape", "first"], ["rows"])
    nodes = [
        helper.make_node("Identity", ["x"], ["y"]),
        helper.make_node("Shape", ["x"], ["shape"]),
        rows_of if varies else helper.make_node("Identity", ["one"], ["rows"]),
        helper.make_node("ConstantOfShape", ["rows"], ["score"]),
    ]
    first = helper.make_tensor("first", TensorProto.INT64, [1], [0])
    one = helper.make_tensor("one", TensorProto.INT64, [1], [1])
    x, y = Tensor("x", datatype, shape), Tensor("y", datatype, shape)
    score = Tensor("score", "FP32", (-1,) if varies else (1,))
    data = onnx_models.build(
        nodes,
        [(x.name, x.datatype, x.shape)],
        [(tensor.name, tensor.datatype, tensor.shape) for tensor in (y, score)],
        [first if varies else one],
    )
    signature = Signature("Regression", (x,), (y, score), score="score")
    return write(folder / "model", data, signature, onnx_models.EMPTY_PROFILE)


def averaging(folder):
    """Write a bundle of a model in which each row's answer depends on all rows."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[0]),
        helper.make_node("Sub", ["x", "mean"], ["y"]),
    ]
    io = ("FP32", (-1, 2))
    data = onnx_models.build(nodes, [("x", *io)], [("y", *io)])
    return write(folder / "model", data, onnx_models.echo_signature(*io), onnx_models.EMPTY_PROFILE)


def write_manifest(folder: Path, files: dict[str, bytes]) -> Bundle:
    """Write a true manifest of the files and return the bundle."""
    manifest = bundle.Manifest(
        schema_version=1,
        training="rain",
        run="rain-0a1b2c3d",
        run_key="sha256:00",
        content_key="sha256:01",
        data_digest="sha256:02",
        verdict="Blessed",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        files=tuple(
            bundle.BundleFile(path, len(data), hashlib.sha256(data).hexdigest())
            for path, data in sorted(files.items())
        ),
    )
    text = canonical_json(codec.encode(manifest))
    (folder / bundle.MANIFEST).write_bytes(text)
    return Bundle(folder, digest_bytes(text))


def in_store(store: Path, **how) -> Bundle:
    """Write a bundle where a training would put it, and return it with its address."""
    made = write(store / "making", **how)
    folder = store / bundle.version_path("rain", made.digest)
    folder.parent.mkdir(parents=True, exist_ok=True)
    made.folder.rename(folder)
    return Bundle(folder, made.digest, bundle.bundle_uri("models", "rain", made.digest))
