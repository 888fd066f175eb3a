"""From a folder that the fetch filled to a proven model, or to the sentence why not."""

from pathlib import Path
from typing import TypeVar

from modelyard_core import bundle, codec
from modelyard_core.errors import ShapeError
from modelyard_core.reference import Profile
from modelyard_core.signature import Signature
from modelyard_serving import bundle_files, clock, onnx_file, proof
from modelyard_serving.errors import Unservable
from modelyard_serving.inference import Inference
from modelyard_serving.model import OnnxModel
from modelyard_serving.recorder import Identity, Recorder, Scheduler
from modelyard_serving.settings import ServeSettings
from modelyard_serving.workers import Workers

T = TypeVar("T")

MAX_NAME = 100


def load(settings: ServeSettings, later: Scheduler) -> Inference:
    """Verify the bundle, open the model, and run it on typical rows.

    The session is opened from the very bytes that were checked, those beside the model as well.

    Raises:
        TamperedBundle: the files are not the bundle that the digest names.
        Unservable: the bundle is whole, but cannot be served.
    """
    files, parts = _read(settings.folder, settings.digest)
    signature = _decode(Signature, bundle.SIGNATURE, files[bundle.SIGNATURE])
    profile = _decode(Profile, bundle.PROFILE, files[bundle.PROFILE])
    model = OnnxModel(files[bundle.MODEL], parts)
    contract = proof.contract_of(model, signature, settings.limits.max_rows)
    identity = Identity(
        boot=clock.draw_boot_id(),
        started=clock.now(),
        model=settings.model,
        version=settings.version,
        digest=settings.digest,
    )
    recorder = Recorder(identity, signature, profile, later)
    proof.prove(model, contract.inputs, signature, profile)
    return Inference(
        name=settings.model,
        version=settings.version,
        digest=settings.digest,
        signature=signature,
        profile=files[bundle.PROFILE],
        model=model,
        contract=contract,
        recorder=recorder,
        workers=Workers(settings.limits.workers, settings.limits.max_waiting),
    )


def _read(folder: Path, digest: str) -> tuple[dict[str, bytes], dict[str, memoryview]]:
    """Return the files that every bundle has, and those that hold parts of its model."""
    try:
        manifest = bundle_files.read_manifest(folder, digest)
        files = {
            name: bundle_files.read_verified(folder, manifest, name) for name in bundle.SERVED_FILES
        }
        return files, _parts(folder, manifest, files[bundle.MODEL])
    except OSError as error:
        raise Unservable(f"the bundle cannot be read: {error}") from error


def _parts(folder: Path, manifest: bundle.Manifest, model: bytes) -> dict[str, memoryview]:
    listed = {file.path for file in manifest.files}
    parts = {}
    for name in onnx_file.external_files(model):
        what = f"the model keeps weights in {name[:MAX_NAME]!r}, which is"
        if not bundle_files.is_plain_path(name):
            raise Unservable(f"{what} outside of the bundle: save them in a file beside it")
        if name not in listed:
            raise Unservable(f"{what} not in the bundle: add the file to it")
        parts[name] = bundle_files.map_verified(folder, manifest, name)
    return parts


def _decode(kind: type[T], name: str, text: bytes) -> T:
    try:
        return codec.loads(kind, text)
    except ShapeError as error:
        raise Unservable(f"{name}: {error}") from error
