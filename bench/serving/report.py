"""Rows of figures, their bars, and the forms in which people and programs read them."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hack import caches

from bench.serving.figures import rounded

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

RESULT = caches.REPOSITORY / "bench" / "results" / "serving.json"
DOCUMENT = caches.REPOSITORY / "docs" / "serving.md"
BEGIN, END = "<!-- bench serving: begin -->", "<!-- bench serving: end -->"
HEADINGS = ("case", "against", "ours", "theirs", "unit", "ratio", "bar", "")
MET = {True: "met", False: "NOT MET", None: ""}


@dataclass(frozen=True, slots=True)
class Bar:
    """What a figure must reach, or stay below."""

    value: float
    at_most: bool = False

    def __str__(self) -> str:
        return f"{'<=' if self.at_most else '>='} {self.value:g}"

    def is_met_by(self, figure: float) -> bool:
        """Return whether a figure, before it is rounded, keeps the bar.

        >>> Bar(2).is_met_by(2.0), Bar(0.55, at_most=True).is_met_by(0.56)
        (True, False)
        """
        return figure <= self.value if self.at_most else figure >= self.value


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    case: str
    against: str
    unit: str
    ours: float | None = None
    theirs: float | None = None
    ratio: float | None = None
    bar: Bar | None = None
    """Holds for the ratio; where there is none, for ours."""
    note: str = ""
    """Why something was not measured, or what a reader must know."""

    @property
    def met(self) -> bool | None:
        """Whether the bar is kept; None where there is no bar, or nothing was measured."""
        figure = self.ours if self.theirs is None else self.ratio
        if self.bar is None or figure is None:
            return None
        return self.bar.is_met_by(figure)

    @property
    def is_missing(self) -> bool:
        """Whether it could not be measured."""
        return self.ours is None

    def encoded(self) -> dict[str, Any]:
        """Return the row for the JSON document."""
        return {
            "case": self.case,
            "against": self.against,
            "ours": _rounded(self.ours),
            "theirs": _rounded(self.theirs),
            "unit": self.unit,
            "ratio": _rounded(self.ratio),
            "bar": str(self.bar) if self.bar else None,
            "met": self.met,
            "note": self.note,
        }


def _rounded(value: float | None) -> float | None:
    return None if value is None else rounded(value)


def document(
    rows: Iterable[Row], machine: Mapping[str, Any], versions: Mapping[str, Any], at: str
) -> dict[str, Any]:
    """Return the whole result."""
    return {
        "at": at,
        "machine": dict(machine),
        "versions": dict(versions),
        "rows": [row.encoded() for row in rows],
    }


def write(path: Path, told: Mapping[str, Any]) -> None:
    """Replace a file by the result, at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    making = path.with_suffix(".tmp")
    making.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n")
    os.replace(making, path)  # noqa: PTH105 - the atomic one


def cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what a table shows of an encoded row."""
    return (
        row["case"],
        row["against"],
        _figure(row["ours"]),
        _figure(row["theirs"]),
        row["unit"],
        _figure(row["ratio"]),
        (row["bar"] or "").replace(">=", "≥").replace("<=", "≤"),
        " · ".join(part for part in (MET[row["met"]], row["note"]) if part),
    )


def _figure(value: float | None) -> str:
    """Return a number as people read it.

    >>> [_figure(x) for x in (98800.0, 2.5, 0.0123, None)]
    ['98,800', '2.5', '0.0123', '']
    """
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"


def text_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the table for a terminal."""
    lines = [HEADINGS, *(cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the table for a document."""
    lines = [HEADINGS, ("---",) * len(HEADINGS), *(cells(row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def last() -> dict[str, Any] | None:
    """Return the result that is kept, if there is one."""
    kept: dict[str, Any] | None = json.loads(RESULT.read_text()) if RESULT.exists() else None
    return kept


def document_last() -> str:
    """Bring the figures in the documentation up to the result that is kept; say so."""
    DOCUMENT.write_text(documented(DOCUMENT.read_text(), last()))
    return f"the figures in {DOCUMENT} are those of {RESULT}"


def documented(text: str, told: Mapping[str, Any] | None) -> str:
    """Return a document whose figures, between its two marks, are those of a result.

    Raises:
        ValueError: it has not both marks.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{BEGIN} … {END} is not in the document")
    figures = "No run has been kept yet." if told is None else _figures(told)
    return f"{before}{begin}\n{figures}\n{end}{after}"


def _figures(told: Mapping[str, Any]) -> str:
    machine = told["machine"]
    lines = [
        f"Measured {told['at'][:10]} on {machine['processor']}, {machine['cores']} cores, "
        f"Linux {machine['kernel'].partition('-')[0]}, Python {machine['python']}.",
        "",
        markdown_table(told["rows"]),
        "",
        *(_versions(name, packages) for name, packages in told["versions"].items()),
    ]
    return "\n".join(lines)


def _versions(name: str, packages: Mapping[str, str]) -> str:
    return f"- {name}: {', '.join(f'{package} {found}' for package, found in packages.items())}"
