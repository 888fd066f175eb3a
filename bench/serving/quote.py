"""The few sentences of a result that fit on a front page, with the small ratios beside the large."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MANY = "JSON, 1 row, 64 connections"
ONE = "JSON, 1 row, 1 connection, p50"
ONE_ASLEEP = "JSON, 1 row, 1 connection, a client that sleeps until its answer, p50"
GRPC = "gRPC, 1 row, 4 connections with 16 streams"
BATCH = "JSON, 64 rows, 16 connections"


def paragraph(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the sentences; what was not measured is left out."""
    many, one, asleep, grpc = (ratios(rows, case) for case in (MANY, ONE, ONE_ASLEEP, GRPC))
    raw = {case: ratios(rows, case).get("raw onnxruntime") for case in (MANY, BATCH)}
    echo = many.get("uvicorn, bare ASGI echo")
    sentences = [
        f"On one core, with one-row JSON requests over 64 connections, it is {times(many)}."
        if peers(many)
        else "",
        f"Against a bare uvicorn echo, which computes nothing, it is {echo:.2g} times as fast."
        if echo
        else "",
        f"With a single connection the median is {span(peers(one))} times shorter than theirs, "
        f"{span(peers(asleep))} times where each answer wakes its client."
        if peers(one) and peers(asleep)
        else "",
        f"gRPC calls: {times(grpc)}." if peers(grpc) else "",
        "Of what raw onnxruntime does in a loop, that is "
        f"{share(raw[MANY])} for one row and {share(raw[BATCH])} for 64."
        if all(raw.values())
        else "",
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def ratios(rows: Iterable[Mapping[str, Any]], case: str) -> dict[str, float]:
    """Return the ratios of a case by what it was measured against, rates and latencies only."""
    return {
        row["against"]: row["ratio"]
        for row in rows
        if row["case"] == case and row["ratio"] and not row["unit"].startswith("µs of CPU")
    }


def peers(found: Mapping[str, float]) -> dict[str, float]:
    """Return the ratios against servers that do the same work."""
    return {name: ratio for name, ratio in found.items() if not name.startswith(("uvicorn", "raw"))}


def times(found: Mapping[str, float]) -> str:
    """Return a list such as `30 times as fast as A, 12 times as fast as B`."""
    return ", ".join(f"{ratio:.3g} times as fast as {name}" for name, ratio in peers(found).items())


def span(found: Mapping[str, float]) -> str:
    """Return the smallest and the largest ratio."""
    return f"{min(found.values()):.2g} to {max(found.values()):.2g}"


def share(ratio: float | None) -> str:
    """Return a share in percent."""
    return f"{100 * (ratio or 0):.0f} %"
