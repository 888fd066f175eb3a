"""The version to beat: opened from its own bundle and asked about this run's holdout.

Its stored metrics are never used: they belong to other rows.  A champion that cannot be asked
makes the comparison inconclusive and never the run fail.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from modelyard_core import bundle, codec
from modelyard_core.canonical import digest_bytes
from modelyard_core.errors import ModelyardError
from modelyard_core.runs import Champion, RunRequest
from modelyard_core.signature import Signature
from modelyard_training.scoring import Answers, OnnxModel


class NotComparable(ModelyardError):
    """The champion cannot be asked about these rows; the message says why."""


@dataclass(frozen=True, slots=True)
class Opponent:
    """A champion that can be asked."""

    version: int
    model: OnnxModel

    @property
    def signature(self) -> Signature:
        """Return what it takes and gives."""
        return self.model.signature

    @property
    def columns(self) -> dict[str, str]:
        """Return the columns that it reads, with their types."""
        return {
            tensor.name: "Category" if tensor.datatype == "BYTES" else "Float"
            for tensor in self.signature.inputs
        }

    def answer(self, frame: pd.DataFrame, task: str, classes: tuple[int | str, ...]) -> Answers:
        """Return its answers for held-out rows.

        Raises:
            NotComparable: another task, other classes, or a column that the data lacks.
        """
        if self.signature.task != task:
            raise NotComparable(f"v{self.version} does {self.signature.task}, this is {task}")
        if self.signature.classes != tuple(str(each) for each in classes):
            raise NotComparable(f"v{self.version} knows other classes of the target")
        absent = [name for name in self.columns if name not in frame.columns]
        if absent:
            raise NotComparable(
                f"v{self.version} reads column {absent[0]!r}, which the data does not have"
            )
        try:
            return self.model.answer(frame)
        except Exception as error:  # onnxruntime's errors have no base of their own
            raise NotComparable(f"v{self.version} cannot answer: {_first_line(error)}") from error


def open_champion(request: RunRequest, store: Path) -> Opponent | None:
    """Return the champion of the request, None when there is none.

    Raises:
        NotComparable: its bundle is gone, elsewhere, or not what its digest says.
    """
    champion = request.champion
    if champion is None:
        return None
    try:
        content, signature = _read_bundle(champion, _folder_of(champion, request, store))
        return Opponent(champion.version, OnnxModel(content, signature))
    except OSError as error:
        raise NotComparable(
            f"the bundle of v{champion.version} cannot be read: {error.strerror}"
        ) from error
    except ModelyardError as error:
        raise NotComparable(f"v{champion.version} cannot be opened: {error}") from error


def _read_bundle(champion: Champion, folder: Path) -> tuple[bytes, Signature]:
    text = (folder / bundle.MANIFEST).read_bytes()
    if digest_bytes(text) != champion.digest:
        raise NotComparable("its manifest has another digest")
    files = {each.path: each.sha256 for each in codec.loads(bundle.Manifest, text).files}
    signature = codec.loads(Signature, _verified(folder, bundle.SIGNATURE, files))
    return _verified(folder, bundle.MODEL, files), signature


def _folder_of(champion: Champion, request: RunRequest, store: Path) -> Path:
    try:
        where, path = bundle.split_uri(champion.uri)
    except ValueError as error:
        raise NotComparable(str(error)) from error
    if where != request.store_claim:
        raise NotComparable(f"it is in another volume, {where!r}")
    return store / path


def _verified(folder: Path, name: str, files: dict[str, str]) -> bytes:
    content = (folder / name).read_bytes()
    if digest_bytes(content).removeprefix("sha256:") != files.get(name):
        raise NotComparable(f"{name} is not what its manifest says")
    return content


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160]
