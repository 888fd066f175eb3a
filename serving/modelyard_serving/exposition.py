"""Prometheus' text form, version 0.0.4: of each metric what it is, and its samples.  Pure.

The client library would bring a web server, a web client and mail along, in every pod.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
NO_LABELS: Mapping[str, str] = MappingProxyType({})
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


@dataclass(frozen=True, slots=True)
class Family:
    """A metric with its samples, as lines."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    what: str
    """One line of plain text."""
    lines: list[str] = field(default_factory=list)

    def add(self, value: float, labels: Mapping[str, str] = NO_LABELS, end: str = "") -> None:
        """Add a sample; `end` is what its name has after the metric's."""
        pairs = ",".join(
            f'{name}="{text.translate(_ESCAPES)}"' for name, text in sorted(labels.items())
        )
        shown = f"{{{pairs}}}" if pairs else ""
        self.lines.append(f"{self.name}{end}{shown} {float(value)!r}")


def render(families: Iterable[Family]) -> bytes:
    """Return the page."""
    lines: list[str] = []
    for each in families:
        lines += (f"# HELP {each.name} {each.what}", f"# TYPE {each.name} {each.kind}", *each.lines)
    return "".join(f"{line}\n" for line in lines).encode()


def single(
    name: str,
    kind: Literal["counter", "gauge"],
    what: str,
    value: float,
    labels: Mapping[str, str] = NO_LABELS,
) -> Family:
    """Return a metric with one sample."""
    family = Family(name, kind, what)
    family.add(value, labels)
    return family
