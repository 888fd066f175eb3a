"""From a folder that the fetch filled to a proven model, or to the sentence why not."""

from pathlib import Path
from typing import TypeVar

from modelyard_core import bundle, codec
from modelyard_core.errors import ShapeError
from modelyard_core.reference import Profile
from modelyard_core.signature import Signature
from modelyard_serving import bundle_files, clock, proof
from modelyard_serving.errors import Unservable
from modelyard_serving.inference import Inference
from modelyard_serving.model import OnnxModel
from modelyard_serving.recorder import Identity, Recorder, Scheduler
from modelyard_serving.settings import ServeSettings
from modelyard_serving.workers import Workers

T = TypeVar("T")


def load(settings: ServeSettings, later: Scheduler) -> Inference:
    """Verify the bundle, open the model, and run it on typical rows.

    The session is opened from the very bytes that were checked.

    Raises:
        TamperedBundle: the files are not the bundle that the digest names.
        Unservable: the bundle is whole, but cannot be served.
    """
    files = _read(settings.folder, settings.digest)
    signature = _decode(Signature, bundle.SIGNATURE, files[bundle.SIGNATURE])
    profile = _decode(Profile, bundle.PROFILE, files[bundle.PROFILE])
    model = OnnxModel(files[bundle.MODEL])
    contract = proof.contract_of(model, signature, settings.limits.max_rows)
    identity = Identity(
        boot=clock.draw_boot_id(),
        started=clock.now(),
        model=settings.model,
        version=settings.version,
        digest=settings.digest,
    )
    recorder = Recorder(identity, signature, profile, later)
    proof.prove(model, signature, profile)
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


def _read(folder: Path, digest: str) -> dict[str, bytes]:
    try:
        manifest = bundle_files.read_manifest(folder, digest)
        return {
            name: bundle_files.read_verified(folder, manifest, name) for name in bundle.SERVED_FILES
        }
    except OSError as error:
        raise Unservable(f"the bundle cannot be read: {error}") from error


def _decode(kind: type[T], name: str, text: bytes) -> T:
    try:
        return codec.loads(kind, text)
    except ShapeError as error:
        raise Unservable(f"{name}: {error}") from error
