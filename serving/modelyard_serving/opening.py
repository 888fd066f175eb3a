"""From a folder with a bundle to a proven model, whoever runs it: the server or a batch of rows."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from modelyard_core import bundle, codec
from modelyard_core.errors import ShapeError
from modelyard_core.reference import Profile
from modelyard_core.signature import Signature
from modelyard_serving import bundle_files, onnx_file, proof
from modelyard_serving.contract import Contract
from modelyard_serving.errors import Unservable
from modelyard_serving.model import OnnxModel

T = TypeVar("T")

MAX_NAME = 100


@dataclass(frozen=True, slots=True)
class Opened:
    """A bundle whose bytes are the listed ones, and whose model has answered typical rows."""

    signature: Signature
    profile: Profile
    profile_text: bytes
    """`profile.json` as it was verified."""
    model: OnnxModel
    contract: Contract


def open_bundle(folder: Path, digest: str, max_rows: int) -> Opened:
    """Verify the bundle, open the model, and run it on typical rows.

    The session is opened from the very bytes that were checked.  Weights beside the model are
    checked where they lie, in a folder that nobody writes to.

    Raises:
        TamperedBundle: the files are not the bundle that the digest names.
        Unservable: the bundle is whole, but cannot be served.
    """
    files = _read(folder, digest)
    signature = _decode(Signature, bundle.SIGNATURE, files[bundle.SIGNATURE])
    profile = _decode(Profile, bundle.PROFILE, files[bundle.PROFILE])
    model = OnnxModel(files[bundle.MODEL], folder)
    counted = {column.input or column.name for column in profile.numeric}
    counted |= {column.input or column.name for column in profile.categories}
    contract = proof.contract_of(model, signature, max_rows).counting(counted)
    proof.prove(model, contract.inputs, signature, profile)
    return Opened(signature, profile, files[bundle.PROFILE], model, contract)


def _read(folder: Path, digest: str) -> dict[str, bytes]:
    """Return the files that every bundle has; the weights beside its model are only verified."""
    try:
        manifest = bundle_files.read_manifest(folder, digest)
        files = {
            name: bundle_files.read_verified(folder, manifest, name) for name in bundle.SERVED_FILES
        }
        _verify_weights(folder, manifest, files[bundle.MODEL])
    except OSError as error:
        raise Unservable(f"the bundle cannot be read: {error}") from error
    return files


def _verify_weights(folder: Path, manifest: bundle.Manifest, model: bytes) -> None:
    listed = {file.path for file in manifest.files}
    for name in onnx_file.external_files(model):
        what = f"the model keeps weights in {name[:MAX_NAME]!r}, which is"
        if not bundle_files.is_plain_path(name):
            raise Unservable(f"{what} outside of the bundle: save them in a file beside it")
        if name not in listed:
            raise Unservable(f"{what} not in the bundle: add the file to it")
        bundle_files.verify(folder, manifest, name)


def _decode(kind: type[T], name: str, text: bytes) -> T:
    try:
        return codec.loads(kind, text)
    except ShapeError as error:
        raise Unservable(f"{name}: {error}") from error
