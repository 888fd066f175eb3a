"""What a model takes and gives, in the words of the Open Inference Protocol."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output."""

    name: str
    datatype: str
    """Open Inference Protocol name: FP32, INT64, BYTES, …"""
    shape: tuple[int, ...]
    """-1 where the size varies."""


@dataclass(frozen=True, slots=True)
class Signature:
    """The contract between a bundle and whoever serves it."""

    task: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    classes: tuple[str, ...] = ()
    """Class labels in the order of the probabilities; empty for regression."""
    score: str = ""
    """Output whose values are sketched: `probabilities` or `prediction`."""
